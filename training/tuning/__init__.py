"""Tuning: the search for hyperparameters on a validation part.

It trains and measures, and does not know how results are shown.
"""
