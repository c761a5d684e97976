"""The published figures of the study that the preset ``reference`` repeats.

Source: the public notebook ``mkuangdotcom/Music_Recommendation_System`` (implicit 0.7.2) on
Last.fm 360K. All figures are at k = 10.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from training.datasets import lastfm_360k

PRESET: Final = "reference"
DATASET: Final = lastfm_360k.NAME
K: Final = 10

USERS: Final = 20_000
ARTISTS: Final = 66_959
PAIRS: Final = 1_357_032

MODELS: Final[Mapping[str, Mapping[str, float]]] = {
    "popularity": {
        "precision": 0.0282,
        "recall": 0.0217,
        "ndcg": 0.0322,
        "coverage_items": 10,
        "coverage": 10 / ARTISTS,
    },
    "als": {
        "precision": 0.1368,
        "recall": 0.1049,
        "ndcg": 0.1543,
        "coverage_items": 4352,
        "coverage": 0.0650,
    },
}

# Number of iterations to Precision@10 on 1,000 users of the test part.
CONVERGENCE: Final[Mapping[int, float]] = {
    1: 0.0190,
    3: 0.1108,
    5: 0.1265,
    10: 0.1382,
    15: 0.1421,
    20: 0.1436,
}

# The search of the study: random draws, and the best of them.
SEARCH_DRAWS: Final = 12
SEARCH_BEST: Final = 0.1421
SEARCH_WINNER: Final[Mapping[str, float]] = {
    "factors": 100,
    "regularization": 0.1,
    "iterations": 15,
    "alpha": 0.5,
}
