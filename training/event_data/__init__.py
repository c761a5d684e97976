"""What event stores give to a training: merging with a dataset, dumps, erased users.

It may import ``app`` and the records of ``training``, no other part of it.
"""
