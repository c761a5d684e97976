"""From the bytes of a file to records: separators, encodings, times, compression, rows that fail.

What holds for a single dataset is not here. Imports nothing of the datasets.
"""
