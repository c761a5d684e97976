"""The part of event stores that all SQL databases share: one module for each subject.

It may import the contract of event stores and its types, and no driver of a database.
"""
