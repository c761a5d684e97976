"""The event store: one interface, and an implementation for each database.

It may import events and models; only ``postgres`` and ``bounded`` know the driver of PostgreSQL.
"""
