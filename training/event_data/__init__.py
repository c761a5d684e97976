"""What event stores give to a training: merging with a dataset, dumps, erased users.

It may import ``app``, and of ``training`` the records, errors and files; nothing of datasets, nor
of what is fitted, measured or published.
"""
