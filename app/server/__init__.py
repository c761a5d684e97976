"""The server process around the application: the port, the protocol, the workers.

Only ``app.__main__`` imports it; it may import everything below ``app.main``.
"""
