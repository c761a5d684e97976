"""The logs of the service.

It may import the standard library and errors; the edge sets it up.
"""
