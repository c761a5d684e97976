"""Tuning: the search for hyperparameters on a validation part.

It trains and measures, but does not know the report.
"""
