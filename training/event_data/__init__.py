"""Event stores in training: merging events with a dataset, dumps, erased users.

It may import ``app``, and from ``training`` records, errors and files, but neither datasets nor
fitting, measuring and publishing.
"""
