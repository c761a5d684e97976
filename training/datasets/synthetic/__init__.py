"""The dataset ``synthetic``: made-up people, artists and plays, written by ``generate``.

Imports the datasets whose formats it writes.
"""
