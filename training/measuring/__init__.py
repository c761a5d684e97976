"""Measuring: lists of contenders on held-out items, their measures, and how sure these are.

It knows models and splits; neither the search for hyperparameters nor how results are shown.
"""
