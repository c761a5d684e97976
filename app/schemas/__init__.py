"""What goes in and out, as pydantic models: options, lists, popularity, models, health, problems.

Nothing here knows a web framework, a store or a file; of the service it may import ids and the
query of the recommender.
"""
