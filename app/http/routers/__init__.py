"""The calls of the service, a module for each group of paths.

Each may import the schemas, what serves, and the HTTP edge but for the hot route.
"""
