"""Chooses the hyperparameters of the preset ``default`` on validation parts of several data sets.

    python -m benchmarks.preset --hetrec ../shared/data/hetrec2011-lastfm-2k --minutes 30

Of every data set only the training part of its first split (seed 0) is ever looked at: a
validation part is cut from it again, and NDCG@10 there decides, of users that were trained in and
of users who were held out and folded in. Trials are drawn at random, then around the best so far;
from the factors of each all shares of the fold-in are tried. Each trial is a line of the log; a
second run goes on from it. The winner is the trial and share with the highest mean, over the data
sets and both kinds of users, of NDCG@10 relative to the best that any reached there, among those
that give held-out users at least 0.99 of what the same users get when they are trained in, on each
data set of a thousand users or more.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.model.interactions import UserItems
from app.model.weighting import WeightingName
from app.recommend.query import Strategy
from benchmarks.conditions import conditions
from training.data.filters import Filters, preprocess
from training.data.interactions import Interactions
from training.datasets import LoadOptions, load_dataset
from training.datasets.synthetic.generator import generate
from training.fitting.assembling import Frame, assemble_model
from training.fitting.fit import ALS
from training.fitting.hyperparameters import Parameters
from training.fitting.weighted import Weighted
from training.measuring.evaluation import Contender, evaluate
from training.splitting.drawn import HeldOutUsers, RandomPerUser
from training.splitting.split import Fold

LOG: Final = Path(__file__).parent / "results" / "preset.jsonl"
_VALIDATION_SEED: Final = 100
_RANDOM_TRIALS: Final = 40
# From dense to sparse, since the best regularization depends on that most.
_GENERATED: Final = ((200, 400), (300, 800), (2000, 3000), (1000, 10_000))

_HELD_OUT: Final = ", held-out users"
_TRAINED_IN: Final = ", held-out users trained in"
# Data sets of a thousand users or more.
_LARGE: Final = (
    "generated 2000 x 3000",
    "generated 1000 x 10000",
    "hetrec",
    "hetrec, bare pairs",
    "hetrec, a third of the pairs",
)
# The share of training that fold-in has to reach: 0.98, and a margin for chance.
_LEAST_RATIO: Final = 0.99
# Shares of the regularization that a fold-in is tried with.
_SHARES: Final = (1.0, 0.7, 0.5, 0.35, 0.25, 0.17, 0.1)

Trial: TypeAlias = dict[str, float]
Parts: TypeAlias = tuple[Interactions, Interactions]


def load(name: str, path: Path) -> Interactions:
    """Loads a data set whole."""
    return preprocess(load_dataset(name, path, LoadOptions()), Filters())[0]


def validation_parts(interactions: Interactions, share: float = 1.0) -> Parts:
    """Cuts a validation part from the training part; the test part is never used.

    Args:
        interactions: everything.
        share: share of the pairs of the training part to use, to measure sparse data.
    """
    train, _test = RandomPerUser(seed=0).split(interactions)
    if share < 1:
        rng = np.random.default_rng(_VALIDATION_SEED)
        train = train.with_pairs(rng.random(train.user_items.nnz) < share)
    return RandomPerUser(min_items=3, seed=_VALIDATION_SEED).split(train)


def bare(interactions: Interactions) -> Interactions:
    """Sets all plays to one."""
    old = interactions.user_items
    ones = UserItems(old.indptr, old.indices, np.ones_like(old.plays), old.n_items)
    return replace(interactions, user_items=ones)


def some_users(interactions: Interactions, count: int) -> Interactions:
    """Returns the histories of a few users, to measure small data."""
    user_items = interactions.user_items
    chosen = np.random.default_rng(_VALIDATION_SEED).permutation(user_items.n_users)[:count]
    return interactions.with_pairs(np.isin(user_items.row_of_each_pair(), chosen))


def data_sets(hetrec: Path, folder: Path) -> dict[str, Parts]:
    """Returns the validation parts by data set."""
    real = load("hetrec-lastfm-2k", hetrec)
    generated = {}
    for seed, (users, artists) in enumerate(_GENERATED, start=1):
        generate(folder / str(seed), users=users, artists=artists, seed=seed)
        sample = load("synthetic", folder / str(seed))
        generated[f"generated {users} x {artists}"] = validation_parts(sample)
    return generated | {
        "hetrec": validation_parts(real),
        "hetrec, bare pairs": validation_parts(bare(real)),
        "hetrec, a third of the pairs": validation_parts(real, share=1 / 3),
        "hetrec, 100 of its users": validation_parts(some_users(real, 100)),
    }


def draw(rng: np.random.Generator) -> Trial:
    """Draws a trial from the whole space."""
    return {
        "k1": _log_uniform(rng, 0.2, 20),
        "b": float(rng.choice([0, 0.25, 0.5, 0.75, 1])),
        "factors": int(rng.choice([32, 48, 64, 96, 128])),
        "alpha": _log_uniform(rng, 2, 40),
        "relative_regularization": _log_uniform(rng, 0.1, 0.8),
        "iterations": int(rng.choice([10, 15, 20])),
    }


def draw_near(trial: Trial, rng: np.random.Generator) -> Trial:
    """Draws a trial around another one: up to three of its values move."""
    fresh = draw(rng)
    moved = rng.choice(sorted(trial), size=int(rng.integers(1, 4)), replace=False)
    near = dict(trial)
    for name in map(str, moved):
        if name in ("k1", "alpha", "relative_regularization"):
            near[name] = _round(trial[name] * float(np.exp(rng.normal(0, 0.35))))
        else:
            near[name] = fresh[name]
    return near


def score(parts: Mapping[str, Parts], trial: Trial) -> dict[str, list[float]]:
    """Returns NDCG@10 of a trial by share, for each validation part and its held-out users."""
    parameters = parameters_of(trial)
    scores = {}
    for name, (train, test) in parts.items():
        scores[name] = _ndcg_by_share(Fold(train, test), parameters)
        held_out = next(HeldOutUsers(seed=_VALIDATION_SEED).folds(train))
        scores[name + _HELD_OUT] = _ndcg_by_share(held_out, parameters)
        if held_out.given is None:
            raise AssertionError("held-out users are given something")
        whole = Fold(held_out.train.with_pairs_of(held_out.given), held_out.test)
        scores[name + _TRAINED_IN] = _ndcg_by_share(whole, parameters)
    return scores


def parameters_of(trial: Trial, share: float = 1.0) -> Parameters:
    """Returns the hyperparameters of a trial."""
    return Parameters(
        weighting=WeightingName.BM25,
        k1=trial["k1"],
        b=trial["b"],
        factors=int(trial["factors"]),
        regularization=trial["relative_regularization"],
        regularization_is_relative=True,
        fold_in_share=share,
        alpha=trial["alpha"],
        iterations=int(trial["iterations"]),
        seed=0,
    )


def als_alone() -> Parameters:
    """Returns the hyperparameters of the winner in the committed log, which has no linear block."""
    best, share = winner(read_log(LOG))
    return parameters_of(best["trial"], share)


def relative(log: list[dict[str, Any]]) -> NDArray[np.float64]:
    """Returns each trial's mean share of the best NDCG@10 of each part, shape (trials, shares).

    If held-out users reach too little of what they get when they are trained in, 1 is subtracted,
    so that the trial comes after all others.
    """
    ndcg = [line["ndcg"] for line in log]
    decides = [name for name in ndcg[0] if not name.endswith(_TRAINED_IN)]
    scores = np.array([[line[name] for name in decides] for line in ndcg])
    means = np.asarray((scores / scores.max(axis=(0, 2), keepdims=True)).mean(axis=1))
    return means - (ratio(log) < _LEAST_RATIO)


def ratio(log: list[dict[str, Any]]) -> NDArray[np.float64]:
    """Returns NDCG@10 of held-out users over that of the same users trained in.

    The least of the data sets that have users enough to tell, shape (trials, shares).
    """
    ratios = [
        [
            np.array(line["ndcg"][name + _HELD_OUT]) / np.array(line["ndcg"][name + _TRAINED_IN])
            for name in _LARGE
            if name in line["ndcg"]
        ]
        for line in log
    ]
    return np.asarray(np.min(ratios, axis=1))


def winner(log: list[dict[str, Any]]) -> tuple[dict[str, Any], float]:
    """Returns the best line of a log and its share."""
    shares = relative(log)
    line, share = np.unravel_index(int(np.argmax(shares)), shares.shape)
    return log[int(line)], _SHARES[int(share)]


def next_trial(lines: list[dict[str, Any]], first: list[Trial]) -> Trial:
    """Draws a new trial: at first from the whole space, then near the best.

    Args:
        lines: the finished trials.
        first: trials to run first, instead of random ones.
    """
    tried = [line["trial"] for line in lines]
    if len(lines) < len(first):
        return first[len(lines)]
    for attempt in itertools.count():
        rng = np.random.default_rng([7, len(lines), attempt])
        trial = draw(rng)
        if len(lines) >= (len(first) or _RANDOM_TRIALS) and rng.random() < 0.7:
            order = np.argsort(relative(lines).max(axis=1))[::-1]
            trial = draw_near(lines[int(order[int(rng.integers(5))])]["trial"], rng)
        if trial not in tried:
            return trial
    raise AssertionError("count never ends")


def search(
    parts: Mapping[str, Parts], log: Path, minutes: float, first: list[Trial]
) -> Iterator[dict[str, Any]]:
    """Runs trials until the time is over; yields each line as it is appended to the log."""
    lines = read_log(log)
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        trial = next_trial(lines, first)
        line = {"trial": trial, "ndcg": score(parts, trial)}
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        lines.append(line)
        yield line


def read_log(log: Path) -> list[dict[str, Any]]:
    """Reads the finished trials."""
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text().splitlines()]


def main() -> None:
    """Searches and prints the best ten."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--hetrec", type=Path, required=True, help="folder of user_artists.dat")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--log", type=Path, default=LOG)
    parser.add_argument("--first", type=Path, help="JSON list of trials to begin with")
    arguments = parser.parse_args()
    arguments.log.parent.mkdir(parents=True, exist_ok=True)
    first = json.loads(arguments.first.read_text()) if arguments.first else []
    with tempfile.TemporaryDirectory() as folder:
        parts = data_sets(arguments.hetrec, Path(folder))
        for line in search(parts, arguments.log, arguments.minutes, first):
            shown = " ".join(f"{max(values):.4f}" for values in line["ndcg"].values())
            print(shown, line["trial"], flush=True)
    lines = read_log(arguments.log)
    best, share = winner(lines)
    summary = {
        "conditions": conditions(),
        "trials": len(lines),
        "winner": {"trial": best["trial"] | {"fold_in_share": share}, "ndcg": best["ndcg"]},
        "shares": _SHARES,
    }
    arguments.log.with_suffix(".json").write_text(json.dumps(summary, indent=2) + "\n")
    shares, ratios = relative(lines), ratio(lines)
    print(
        f"\n{len(lines)} trials; share of the best NDCG@10, mean over the data sets / least ratio"
    )
    print(f"of held-out users, for the shares {_SHARES}:")
    for position in np.argsort(shares.max(axis=1), kind="stable")[::-1][:10]:
        pairs = zip(shares[position] % 1, ratios[position], strict=True)
        by_share = " ".join(f"{value:.3f}/{one:.3f}" for value, one in pairs)
        print(f"{by_share}  {lines[position]['trial']}")


def _ndcg_by_share(fold: Fold, parameters: Parameters) -> list[float]:
    weighted, frame = Weighted.of(fold.train.user_items, parameters), Frame.of(fold.train)
    item_factors = ALS.train(weighted.confidence, weighted.parameters)
    values = []
    for share in _SHARES:
        resolved = replace(weighted.parameters, fold_in_share=share)
        model = assemble_model(frame, item_factors, weighted.weighting, resolved)
        evaluation = evaluate(model, fold, {"als": Contender(Strategy.AUTO)}, cutoffs=())
        values.append(round(evaluation.values("als")["ndcg"], 5))
    return values


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return _round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))


def _round(value: float) -> float:
    return float(f"{value:.2g}")


if __name__ == "__main__":
    main()
