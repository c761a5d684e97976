"""The event store in SQL, as far as databases agree: one module for each subject.

It may import the contract of event stores and what goes through it, and no driver of a database.
"""
