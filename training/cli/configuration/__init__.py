"""The file that says how we train: its sections, how it is read, and how it is printed.

The command line declares the options; the file has those of them that stand in one of its sections.
"""
