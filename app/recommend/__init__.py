"""Who may appear in a list, and which rung of the ladder answers a query.

A query takes the steps resolve, eligible, rank, adjust and place, each in modules of its own.
It may import the model, events and the ranking; no framework, no schema, no file, no thread.
"""
