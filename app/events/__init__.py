"""Events: what somebody did with an artist, their types and rules, and what they come to.

It may import what a model is made of, and knows no store, no schema and no framework.
"""
