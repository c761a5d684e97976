"""The model: ids and names, interactions and their weighting, factors, and fold-in.

It may import the ranking, since a model has a catalogue; no event, no file, no framework.
"""
