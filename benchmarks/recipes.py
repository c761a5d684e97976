"""Which recipe suits which data: NDCG@20 of a few recipes on validation parts, beside the shape.

    python -m benchmarks.recipes --data ../shared/data --movielens recbole-1.2.1-py3-none-any.whl

Of every data set only a training part is ever looked at, from which a validation part is cut. The
recipes are those of the preset ``default``, and its usual one without the linear block. Beside
them stand the shape of the training part, by which the preset decides, and which it takes. NDCG is
that after all iterations, as the preset trains them, and the best of all. How many items the lists
of ten show to all users, and how evenly (the Gini coefficient), is measured beside them; so is the
recipe before there was a linear block, as ``benchmarks.preset`` chose it. MovieLens 100K lies in
the wheel of a package, which has to be fetched; ratings are taken as bare pairs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.blocks import folds
from benchmarks.conditions import conditions
from benchmarks.preset import als_alone, data_sets, load, validation_parts
from training.data.shape import Shape
from training.fitting.fit import fit_model
from training.fitting.hyperparameters import Parameters
from training.measuring.contenders import named
from training.measuring.convergence import Validation, follow
from training.measuring.evaluation import evaluate
from training.presets import DEFAULT, USUAL
from training.splitting.split import Fold

RESULTS: Final = Path(__file__).parent / "results" / "recipes.json"
_K: Final = 20
_SHOWN_K: Final = 10
_USERS: Final = 2000
_RATINGS: Final = "recbole/dataset_example/ml-100k/ml-100k.inter"

RECIPES: Final[Mapping[str, Parameters]] = {
    "before": als_alone(),
    "usual, ALS alone": replace(DEFAULT.parameters, linear=None),
    USUAL: DEFAULT.parameters,
    **{variant.name: variant.parameters for variant in DEFAULT.variants},
}


def all_folds(data: Path, movielens: Path | None, folder: Path) -> Iterator[tuple[str, Fold]]:
    """Yields training and validation part by data set."""
    for name, parts in data_sets(data / "hetrec2011-lastfm-2k", folder).items():
        yield name, Fold(*parts)
    for name, fold in folds(data):
        if name != "hetrec":
            yield name, fold
    if movielens is not None:
        table = folder / "movielens.csv"
        with zipfile.ZipFile(movielens) as wheel:
            rows = wheel.read(_RATINGS).decode().splitlines()[1:]
        pairs = [",".join(row.split("\t")[:2]) for row in rows]
        table.write_text("\n".join(["user_id,item_id", *pairs]))
        yield "movielens-100k, bare pairs", Fold(*validation_parts(load("table", table)))


def compare(fold: Fold) -> dict[str, Any]:
    """Returns the shape of a training part, what the preset takes, and the figures of recipes."""
    shape = Shape.of(fold.train.user_items)
    validation = Validation(fold, k=_K, sample=_USERS)
    figures: dict[str, Any] = {
        **asdict(shape),
        "density": round(shape.density, 5),
        "width": round(shape.width),
        "taken": DEFAULT.for_data(shape).choice.partition(":")[0],
    }
    for name, recipe in RECIPES.items():
        curve = follow(validation, recipe, lambda _: False)
        best = max(curve)
        figures[name] = {
            "ndcg": round(curve[-1], 4),
            "best": round(best, 4),
            "best_iterations": curve.index(best) + 1,
            **shown(fold, recipe),
        }
    return figures


def shown(fold: Fold, recipe: Parameters) -> dict[str, float]:
    """Returns how many items the lists of all validation users show, and their Gini coefficient."""
    lists = evaluate(fit_model(fold.train, recipe), fold, named("als"), k=_SHOWN_K)
    values = lists.values("als")
    return {"shown": int(values["coverage_items"]), "gini": round(values["gini"], 4)}


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
