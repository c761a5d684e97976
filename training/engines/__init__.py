"""From a source and a recipe to an artifact: the contract, and the engine that works in memory.

Only an engine knows where the data are. It combines datasets, events, fitting and measuring. The
command line uses it; nothing below imports it.
"""
