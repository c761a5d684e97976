"""From interactions to a model in memory: confidence, factors, users, precomputed lists.

A trainer makes the factors (``trainer``); only ``assembling`` makes a model from them. The folder
imports neither datasets nor measuring and publishing.
"""
