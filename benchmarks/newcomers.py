"""The users who get artists that are not in the model, after five listeners played them.

    python -m benchmarks.newcomers --hetrec ../shared/data/hetrec2011-lastfm-2k
    python -m benchmarks.newcomers --hetrec ../shared/data/hetrec2011-lastfm-2k --blocks

A hundred artists with 20 to 200 listeners are hidden from training, all at once. Then five real
listeners of each artist play it once. Measured is which users have it among their fifty best: its
other listeners, who should, and all other users, who should not. This is done for several lengths
of the vector. To separate the effect of the direction, it is also done for each artist alone, at
the length at which it is shown to exactly a tenth of all other users. With ``--blocks`` only the
latter is done, for models with a linear block beside that of ALS and alone, and compared with the
direction of the sum of the listeners' unit vectors in all columns.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.events.activity import activity_of
from app.events.event import Event, StoredEvent
from app.events.event_types import EventRules
from app.model.model import Model
from app.model.new_items import NewItemDirections
from app.ranking.scoring import top_items
from app.recommend.ladder import Recommender
from app.recommend.newcomer_rules import DEFAULT_NEWCOMER_RULES, NewcomerRules
from app.recommend.newcomers import Newcomers, NewcomerSolver
from app.recommend.query import Query
from benchmarks.conditions import conditions
from benchmarks.preset import load
from training.data.interactions import Interactions
from training.fitting.fit import fit_model
from training.fitting.hyperparameters import LinearParameters
from training.presets import DEFAULT

RESULTS: Final = Path(__file__).parent / "results" / "newcomers.json"
_HIDDEN: Final = 100
_LISTENERS: Final = (20, 200)
_PLAYED_BY: Final = 5
_AMONG: Final = 50
_QUANTILES: Final = (0.9, 0.95, 0.98, 0.99, 1.0)
_EXPOSURE: Final = 0.1
_SEEDS: Final = (0, 1, 2)
_BLOCK: Final = 256
_RANK: Final = 256
_BY_BLOCKS: Final = "alone, by blocks"


@dataclass(frozen=True, slots=True)
class _Part:
    """Data in which artists are hidden.

    Attributes:
        train: the interactions without them.
        fans: their listeners, by item index.
        played: those of the listeners who play it now.
    """

    train: Interactions
    fans: dict[int, NDArray[np.int64]]
    played: dict[int, NDArray[np.int64]]


def _hide(interactions: Interactions, seed: int) -> _Part:
    rng = np.random.default_rng(seed)
    user_items = interactions.user_items
    listeners = user_items.listeners()
    eligible = np.flatnonzero((listeners >= _LISTENERS[0]) & (listeners <= _LISTENERS[1]))
    hidden = rng.choice(eligible, _HIDDEN, replace=False)
    rows = user_items.row_of_each_pair()
    fans = {item: rows[user_items.indices == item] for item in hidden.tolist()}
    played = {item: rng.choice(users, _PLAYED_BY, replace=False) for item, users in fans.items()}
    return _Part(interactions.with_pairs(~np.isin(user_items.indices, hidden)), fans, played)


def measure(interactions: Interactions, seed: int) -> dict[str, dict[str, float]]:
    """Returns the measured values by quantile of the length."""
    part = _hide(interactions, seed)
    fans, played = part.fans, part.played
    model = fit_model(part.train, DEFAULT.parameters)
    recommender = Recommender(model)
    queries = _queries(interactions, played)
    figures = {}
    for quantile in _QUANTILES:
        solver = NewcomerSolver(model, NewcomerRules(length_quantile=quantile))
        newcomers = []
        for item, users in played.items():
            artist = str(interactions.item_ids[item])
            tastes = recommender.tastes([queries[user] for user in users.tolist()])
            newcomers.append(solver.solve(f"new {artist}", artist, tastes))
        stocked = Recommender(model, newcomers=Newcomers.of(model, newcomers))
        figures[f"{quantile:g}"] = _shares(stocked, queries, fans, played)
    directions = np.stack([newcomer.vector for newcomer in newcomers]).astype(np.float64)
    figures["alone"] = _alone(model, directions, fans, played)
    return figures


def measure_blocks(interactions: Interactions, seed: int) -> dict[str, dict[str, float]]:
    """Returns the share of other listeners who see single artists, by the blocks of the model."""
    part = _hide(interactions, seed)
    queries = _queries(interactions, part.played)
    both = DEFAULT.parameters
    recipes = {
        "als": replace(both, linear=None),
        "als and linear, the preset": both,
        "als and linear, rank 256, weight 4": replace(both, linear=_strong(4.0)),
        "linear, rank 256": replace(both, factors=0, linear=_strong(1.0)),
    }
    figures: dict[str, dict[str, float]] = {}
    for name, parameters in recipes.items():
        model = fit_model(part.train, parameters)
        recommender, directions = Recommender(model), NewItemDirections(model)
        tastes = [
            recommender.tastes([queries[user] for user in users.tolist()])
            for users in part.played.values()
        ]
        made = {
            "by block": [directions.of(listeners) for listeners in tastes],
            "in all columns": [_unit_sum(listeners) for listeners in tastes],
        }
        figures[name] = {
            way: _alone(model, np.stack(found), part.fans, part.played)["other listeners"]
            for way, found in made.items()
        }
    return figures


def _strong(weight: float) -> LinearParameters:
    return LinearParameters(rank=_RANK, weight=weight)


def _unit_sum(listeners: NDArray[np.float32]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(listeners.astype(np.float64), axis=1)
    known = listeners[lengths > 0] / lengths[lengths > 0, None]
    direction = known.sum(axis=0)
    return np.asarray(direction / max(np.linalg.norm(direction), 1e-300))


def _alone(
    model: Model,
    directions: NDArray[np.float64],
    fans: dict[int, NDArray[np.int64]],
    played: dict[int, NDArray[np.int64]],
) -> dict[str, float]:
    """Returns the measured values of single artists, each shown to exactly ``_EXPOSURE``."""
    n_users = len(model.users)
    seen = [model.user_items.row(user)[0] for user in range(n_users)]
    ranked = top_items(model.user_factors, model.catalogue, n=_AMONG, hidden=seen)
    last = np.array([scores[-1] if len(scores) == _AMONG else 0.0 for _, scores in ranked])
    to_fans = []
    for (item, users), direction in zip(fans.items(), directions, strict=True):
        along = model.user_factors.astype(np.float64) @ direction
        with np.errstate(divide="ignore", invalid="ignore"):
            needed = np.where(along > 0, np.maximum(last, 0.0) / along, np.inf)
        others = np.ones(n_users, dtype=bool)
        others[users] = False
        length = np.quantile(needed[others], _EXPOSURE)
        to_fans.append((needed[np.setdiff1d(users, played[item])] < length).mean())
    fan = np.array(to_fans)
    return {
        "other listeners": float(fan.mean()),
        "other listeners, median artist": float(np.median(fan)),
        "artists with 40 % of listeners": float((fan >= 0.4).mean()),
    }


def _queries(interactions: Interactions, played: dict[int, NDArray[np.int64]]) -> list[Query]:
    """Returns the queries of all users, with the events of those who played something."""
    events: defaultdict[int, list[StoredEvent]] = defaultdict(list)
    for item, users in played.items():
        for user in users.tolist():
            artist = f"new {interactions.item_ids[item]}"
            event = Event(str(interactions.user_ids[user]), artist)
            events[user].append(StoredEvent(len(events[user]) + 1, 0, event))
    return [
        Query(
            user_id,
            n=_AMONG,
            activity=activity_of(events[user], EventRules(), now=0) if user in events else None,
        )
        for user, user_id in enumerate(interactions.user_ids.to_list())
    ]


def _shares(
    recommender: Recommender,
    queries: list[Query],
    fans: dict[int, NDArray[np.int64]],
    played: dict[int, NDArray[np.int64]],
) -> dict[str, float]:
    first = recommender.newcomers.first
    is_shown = np.zeros((len(queries), len(fans)), dtype=bool)
    for start in range(0, len(queries), _BLOCK):
        answers = recommender.recommend_many(queries[start : start + _BLOCK])
        for user, answer in enumerate(answers, start=start):
            is_shown[user, [item - first for item in answer.items if item >= first]] = True
    to_fans, to_others = [], []
    for column, (item, users) in enumerate(fans.items()):
        others = np.ones(len(queries), dtype=bool)
        others[users] = False
        to_fans.append(is_shown[np.setdiff1d(users, played[item]), column].mean())
        to_others.append(is_shown[others, column].mean())
    fan, other = np.array(to_fans), np.array(to_others)
    return {
        "other listeners": float(fan.mean()),
        "other listeners, median artist": float(np.median(fan)),
        "all others": float(other.mean()),
        "all others, most shown artist": float(other.max()),
        "artists with 40 % of listeners": float((fan >= 0.4).mean()),
        "artists with 10 % of others": float((other <= 0.1).mean()),
        "newcomers in a list": float(is_shown.sum(axis=1).mean()),
    }


def _write_blocks(runs: list[dict[str, dict[str, float]]]) -> None:
    """Prints the means over the draws, and writes them beside the other results."""
    figures = {
        name: {way: round(float(np.mean([run[name][way] for run in runs])), 3) for way in ways}
        for name, ways in runs[0].items()
    }
    print(json.dumps(figures, indent=2))
    result = json.loads(RESULTS.read_text())
    result[_BY_BLOCKS] = {
        "conditions": conditions(),
        "draws": len(runs),
        "other listeners": figures,
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


def main() -> None:
    """Runs from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hetrec", type=Path, required=True)
    parser.add_argument("--blocks", action="store_true")
    given = parser.parse_args()
    interactions = load("hetrec-lastfm-2k", given.hetrec)
    if given.blocks:
        _write_blocks([measure_blocks(interactions, seed) for seed in _SEEDS])
        return
    runs = [measure(interactions, seed) for seed in _SEEDS]
    figures: dict[str, Any] = {
        quantile: {
            name: round(float(np.mean([run[quantile][name] for run in runs])), 3)
            for name in runs[0][quantile]
        }
        for quantile in runs[0]
    }
    alone = figures["alone"]
    for quantile, means in figures.items():
        print(quantile, "  ".join(f"{name}: {value:.3f}" for name, value in means.items()))
    del figures["alone"]
    result = {
        "conditions": conditions(),
        "draws": len(_SEEDS),
        "default": DEFAULT_NEWCOMER_RULES.length_quantile,
        "by quantile of the length": figures,
        "alone": alone,
    }
    if RESULTS.exists() and (by_blocks := json.loads(RESULTS.read_text()).get(_BY_BLOCKS)):
        result[_BY_BLOCKS] = by_blocks
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
