"""What goes in and out, as pydantic models, one module for each subject.

Nothing here knows a web framework, a store or a file; of the service it may import ids, events and
the query of the recommender.
"""
