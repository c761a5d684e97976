"""The calls of the service, a module for each group of paths.

Each may import the schemas, ``app.serving``, and the HTTP edge except for the hot route.
"""
