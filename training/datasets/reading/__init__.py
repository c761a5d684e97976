"""From the bytes of a file to records: separators, encodings, times, compression, broken rows.

It has nothing that belongs to a single dataset, and imports none of them.
"""
