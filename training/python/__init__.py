"""The calls of ``import encore``: from a DataFrame or a dataset to measured and published models.

It combines what lies below as the command line does, and shows nothing by itself; only ``encore``
imports it.
"""

from training.python.contenders import TrainedContender, TrainsAndLists
from training.python.data import Data, prepare
from training.python.model import Model, fit, load
from training.python.plays import Plays, read
from training.python.results import Results, measure

__all__ = [
    "Data",
    "Model",
    "Plays",
    "Results",
    "TrainedContender",
    "TrainsAndLists",
    "fit",
    "load",
    "measure",
    "prepare",
    "read",
]
