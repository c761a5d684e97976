"""From a query to the bytes of its answer, and what runs beside the model while the service is up.

It may import the recommender, the model, the storage edge and the schemas, and knows no web
framework.
"""
