"""From a query to the bytes of its answer, and the threads that do the work beside the event loop.

Imports the recommender, the storage edge and the schemas; no web framework.
"""
