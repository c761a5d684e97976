"""What is known: ids and names, who played what and how that weighs, factors, folding in.

It may import the ranking, whose catalogue goes with a model; no event, no file, no framework.
"""
