"""Which recipe suits which data: NDCG@20 of a few recipes on validation parts, beside the shape.

    python -m benchmarks.recipes --data ../shared/data --movielens recbole-1.2.1-py3-none-any.whl

Of every data set only a training part is ever looked at, from which a validation part is cut. The
recipes are the preset ``default``, the same with a linear block, and the recipe for bare pairs of
a wide catalogue. Beside them stands how wide the catalogue is: the number of artists that would
have as much variety if all had equally many listeners (the inverse of Simpson's index). MovieLens
100K lies in the wheel of a package, which has to be fetched; ratings are taken as bare pairs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.model.interactions import UserItems
from benchmarks.blocks import folds
from benchmarks.conditions import conditions
from benchmarks.preset import bare, load, validation_parts
from training.datasets.synthetic.generator import generate
from training.fitting.hyperparameters import LinearParameters, Parameters
from training.measuring.convergence import Validation, enough, follow, is_exhausted
from training.presets import DEFAULT, WIDE
from training.splitting.split import Fold
from training.tuning.search import GAIN, PATIENCE

RESULTS: Final = Path(__file__).parent / "results" / "recipes.json"
_K: Final = 20
_USERS: Final = 2000
_GENERATED: Final = ((2000, 3000), (1000, 10_000))
_RATINGS: Final = "recbole/dataset_example/ml-100k/ml-100k.inter"

RECIPES: Final[Mapping[str, Parameters]] = {
    "default": DEFAULT.parameters,
    "default with a linear block": replace(
        DEFAULT.parameters, linear=LinearParameters(rank=128, weight=0.5)
    ),
    "wide": replace(WIDE, iterations=DEFAULT.parameters.iterations),
}


def all_folds(data: Path, movielens: Path | None, folder: Path) -> Iterator[tuple[str, Fold]]:
    """Yields training and validation part by data set."""
    yield from folds(data)
    hetrec = load("hetrec-lastfm-2k", data / "hetrec2011-lastfm-2k")
    yield "hetrec, bare pairs", Fold(*validation_parts(bare(hetrec)))
    if movielens is not None:
        table = folder / "movielens.csv"
        with zipfile.ZipFile(movielens) as wheel:
            rows = wheel.read(_RATINGS).decode().splitlines()[1:]
        pairs = [",".join(row.split("\t")[:2]) for row in rows]
        table.write_text("\n".join(["user_id,item_id", *pairs]))
        yield "movielens-100k, bare pairs", Fold(*validation_parts(load("table", table)))
    for users, artists in _GENERATED:
        place = folder / f"{users}"
        generate(place, users=users, artists=artists, seed=3)
        yield f"generated {users} x {artists}", Fold(*validation_parts(load("synthetic", place)))


def width_of(user_items: UserItems) -> float:
    """Returns the number of equally popular items with as much variety."""
    listeners = user_items.listeners().astype(np.float64)
    return float(listeners.sum() ** 2 / (listeners**2).sum())


def compare(fold: Fold) -> dict[str, Any]:
    """Returns the shape of a training part, and the figures of all recipes."""
    user_items = fold.train.user_items
    validation = Validation(fold, k=_K, sample=_USERS)
    figures: dict[str, Any] = {
        "users": user_items.n_users,
        "items": user_items.n_items,
        "pairs": user_items.nnz,
        "width": round(width_of(user_items)),
    }
    for name, recipe in RECIPES.items():
        curve = follow(validation, recipe, lambda so_far: is_exhausted(so_far, PATIENCE, gain=GAIN))
        figures[name] = {"ndcg": round(max(curve), 4), "iterations": enough(curve)}
    return figures


def main() -> None:
    """Runs from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--movielens", type=Path, help="wheel that holds MovieLens 100K")
    given = parser.parse_args()
    results: dict[str, Any] = {"conditions": conditions(), "k": _K}
    with tempfile.TemporaryDirectory() as folder:
        for name, fold in all_folds(given.data, given.movielens, Path(folder)):
            results[name] = compare(fold)
            print(name, json.dumps(results[name]), flush=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
