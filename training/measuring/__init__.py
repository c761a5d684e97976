"""Measuring: lists of contenders on held-out items, their measures, and intervals and tests.

It knows models and splits, but neither the search for hyperparameters nor the report.
"""
