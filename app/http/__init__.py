"""The HTTP edge: routers, the hot route, and how requests are read and errors answered.

It may import everything but the application; nothing below it knows the web framework.
"""
