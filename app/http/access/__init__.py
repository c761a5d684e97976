"""Who may call: which call wants the key, from where requests may come, what browsers may do.

Middleware that ``app.main`` puts before the hot route; it may import the HTTP edge except for the
hot route and the routers.
"""
