"""From the rows of a dataset to what is trained on: records, filters, interactions, items.

It knows neither models nor what is done with the data; readers of datasets and event stores make
records, and everything else takes interactions.
"""
