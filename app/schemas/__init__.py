"""The bodies, parameters and answers of calls as pydantic models, one module for each subject.

It knows no web framework, no store and no file; it may import ids, events and the query of the
recommender.
"""
