"""Events: what a user did with an artist; their types and rules; and the activity they add up to.

It may import ``app.model``, and knows no store, no schema and no framework.
"""
