"""Who may appear in a list, and which rung of the ladder answers a query.

A query takes the steps resolve, eligible, rank, adjust and place, each in a module of its own.
Imports what is known (the model) and the ranking; no framework, no schema, no file, no thread.
"""
