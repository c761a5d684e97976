"""From a source and a recipe to what is published: the contract, and the engine in memory.

Only an engine knows where the data are. It brings datasets, events, fitting and measuring together;
the command line asks it, and nothing below knows it.
"""
