"""Encore's service: answers recommendation requests from a published model.

Nothing here imports ``training``, and importing this package opens nothing.
"""

__version__ = "0.1.0"
