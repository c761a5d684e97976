"""From a query to the bytes of its answer, and the threads that follow models and events.

It may import the recommender, the model, the storage edge and the schemas, and knows no web
framework.
"""
