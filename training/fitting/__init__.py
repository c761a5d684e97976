"""From interactions to a model in memory: confidence, factors, users, precomputed lists.

A trainer makes the factors (``trainer``); ``assembling`` is the one place that makes a model of
them. It knows neither datasets nor what is measured or published.
"""
