"""Chooses the hyperparameters of the preset ``default`` on validation parts of several data sets.

    python -m benchmarks.preset --hetrec ../shared/data/hetrec2011-lastfm-2k --minutes 30

Of every data set only the training part of its first split (seed 0) is ever looked at: a
validation part is cut from it again, and NDCG@10 there decides. Trials are drawn at random, then
around the best so far. Each trial is a line of the log; a second run goes on from it. The winner
is the trial with the highest mean, over the data sets, of NDCG@10 relative to the best that any
trial reached on that data set.
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

from app.interactions import UserItems
from app.recommender import Strategy
from app.weighting import WeightingName
from benchmarks.conditions import conditions
from training.als import Parameters
from training.datasets import LoadOptions, load_dataset
from training.datasets.synthetic import generate
from training.evaluation import Contender, evaluate
from training.fit import fit_model
from training.interactions import Interactions
from training.preprocessing import Filters, preprocess
from training.split import RandomPerUser

LOG: Final = Path(__file__).parent / "results" / "preset.jsonl"
_VALIDATION_SEED: Final = 100
_RANDOM_TRIALS: Final = 40
# From dense to sparse, since the best regularization depends on that most.
_GENERATED: Final = ((200, 400), (300, 800), (2000, 3000), (1000, 10_000))

Trial: TypeAlias = dict[str, float]
Parts: TypeAlias = tuple[Interactions, Interactions]


def load(name: str, path: Path) -> Interactions:
    """Loads a data set whole."""
    return preprocess(load_dataset(name, path, LoadOptions()), Filters())[0]


def validation_parts(interactions: Interactions, keep: float = 1.0) -> Parts:
    """Cuts a validation part from the training part; the test part is never looked at.

    Args:
        interactions: everything.
        keep: share of the training part's pairs that take part, to see how sparse data do.
    """
    train, _test = RandomPerUser(seed=0).split(interactions)
    if keep < 1:
        rng = np.random.default_rng(_VALIDATION_SEED)
        train = train.with_pairs(rng.random(train.user_items.nnz) < keep)
    return RandomPerUser(min_items=3, seed=_VALIDATION_SEED).split(train)


def bare(interactions: Interactions) -> Interactions:
    """Sets all plays to one."""
    old = interactions.user_items
    ones = UserItems(old.indptr, old.indices, np.ones_like(old.plays), old.n_items)
    return replace(interactions, user_items=ones)


def some_users(interactions: Interactions, count: int) -> Interactions:
    """Keeps the histories of a few users only, to see how small data do."""
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
        "hetrec, a third of the pairs": validation_parts(real, keep=1 / 3),
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


def score(parts: Mapping[str, Parts], trial: Trial) -> dict[str, float]:
    """Returns NDCG@10 of a trial on every validation part."""
    parameters = parameters_of(trial)
    return {name: _ndcg(train, test, parameters) for name, (train, test) in parts.items()}


def parameters_of(trial: Trial) -> Parameters:
    """Returns the hyperparameters of a trial."""
    return Parameters(
        weighting=WeightingName.BM25,
        k1=trial["k1"],
        b=trial["b"],
        factors=int(trial["factors"]),
        regularization=trial["relative_regularization"],
        regularization_is_relative=True,
        alpha=trial["alpha"],
        iterations=int(trial["iterations"]),
        seed=0,
    )


def relative(log: list[dict[str, Any]]) -> list[float]:
    """Returns each trial's mean share of the best NDCG@10 seen on each data set."""
    best = {name: max(line["ndcg"][name] for line in log) for name in log[0]["ndcg"]}
    return [
        float(np.mean([value / best[name] for name, value in line["ndcg"].items()])) for line in log
    ]


def winner(log: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the best line of a log."""
    return log[int(np.argmax(relative(log)))]


def next_trial(lines: list[dict[str, Any]]) -> Trial:
    """Draws a trial that has not been run: at first from the whole space, then near the best."""
    tried = [line["trial"] for line in lines]
    for attempt in itertools.count():
        rng = np.random.default_rng([7, len(lines), attempt])
        trial = draw(rng)
        if len(lines) >= _RANDOM_TRIALS and rng.random() < 0.7:
            order = np.argsort(relative(lines))[::-1]
            trial = draw_near(lines[int(order[int(rng.integers(5))])]["trial"], rng)
        if trial not in tried:
            return trial
    raise AssertionError("count never ends")


def search(parts: Mapping[str, Parts], log: Path, minutes: float) -> Iterator[dict[str, Any]]:
    """Runs trials until the time is over; yields each line as it is appended to the log."""
    lines = read_log(log)
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        trial = next_trial(lines)
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
    arguments = parser.parse_args()
    arguments.log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        parts = data_sets(arguments.hetrec, Path(folder))
        for line in search(parts, arguments.log, arguments.minutes):
            shown = " ".join(f"{value:.4f}" for value in line["ndcg"].values())
            print(shown, line["trial"], flush=True)
    lines = read_log(arguments.log)
    shares = relative(lines)
    best = winner(lines)
    summary = {"conditions": conditions(), "trials": len(lines), "winner": best}
    arguments.log.with_suffix(".json").write_text(json.dumps(summary, indent=2) + "\n")
    print(f"\n{len(lines)} trials; share of the best NDCG@10, mean over {list(parts)}:")
    for position in np.argsort(shares, kind="stable")[::-1][:10]:
        line = lines[position]
        shown = " ".join(f"{value:.4f}" for value in line["ndcg"].values())
        print(f"{shares[position]:.4f}  {shown}  {line['trial']}")


def _ndcg(train: Interactions, test: Interactions, parameters: Parameters) -> float:
    model = fit_model(train, parameters)
    return evaluate(model, test, {"als": Contender(Strategy.AUTO)}).models["als"]["ndcg"]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return _round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))


def _round(value: float) -> float:
    return float(f"{value:.2g}")


if __name__ == "__main__":
    main()
