"""The engine that trains with Spark: all that grows with the data stays in its jobs.

The matrix of plays lies in the partitions of a DataFrame, each with whole histories of consecutive
users. What a job does with a partition is what the engine in memory does with all: the same
functions, on fewer rows. The driver holds what a model needs of all artists, and streams what it
needs of all users to files.
"""
