"""Who may appear in a list, and which rung of the ladder answers a query.

Imports what is known (the model) and the ranking; no framework, no schema, no file, no thread.
"""
