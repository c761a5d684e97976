"""Splitting: which pairs a model may learn from, and which it is measured on.

It knows records and interactions, and no model.
"""
