"""Runnable comparisons; their committed results lie in ``results/``."""
