"""The value of a half-life: lists for future plays, from tastes that fade with age.

    python -m benchmarks.half_life --hetrec ../shared/data/hetrec2011-lastfm-2k

Training ends at one point in time, and artists that users discover later are the test part. The
half-life is chosen on a validation part, cut from the training part at an earlier time. It is
measured on the test part; then all other half-lives are measured there too, to show the choice.
Data: the tags of HetRec, each with the month in which a user gave it to an artist, which are the
only real times available; and made-up plays of listeners whose tastes do not change, drift, and
drift fast. For comparison, all plays fade before factors are trained.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.recommend.query import Strategy
from benchmarks.conditions import conditions
from benchmarks.preset import load
from training.data.interactions import Interactions
from training.datasets.synthetic.timed_generator import generate_timed
from training.fitting.fit import fit_model
from training.measuring.evaluation import Contender, evaluate
from training.measuring.measures import NDCG
from training.measuring.resampling import paired_t_test
from training.presets import DEFAULT
from training.splitting.split import Fold
from training.splitting.timed import GlobalTime

RESULTS: Final = Path(__file__).parent / "results" / "half_life.json"
_HALF_LIVES: Final = (None, 2000.0, 1000.0, 500.0, 250.0, 125.0, 60.0, 30.0)
_DRIFTS: Final = (0.0, 1.0, 2.0)
_K: Final = 10
_ALS: Final = "als"


def measure(interactions: Interactions) -> dict[str, Any]:
    """Chooses a half-life on the validation part and measures it on the test part."""
    split = GlobalTime()
    fold = next(iter(split.folds(interactions)))
    inner = next(iter(split.validation().folds(fold.train)))
    validation = {half_life: _ndcg(inner, half_life) for half_life in _HALF_LIVES}
    chosen = max(_HALF_LIVES, key=lambda one: validation[one].mean())
    test = {half_life: _ndcg(fold, half_life) for half_life in _HALF_LIVES}
    base, best = test[None], test[chosen]
    return {
        "users": len(base),
        "days of training": round(_days(fold.train)),
        "days of test": round(_days(interactions) - _days(fold.train)),
        "chosen half-life": chosen,
        "ndcg without": round(float(base.mean()), 4),
        "ndcg with": round(float(best.mean()), 4),
        "change": round(float(best.mean() / base.mean()) - 1, 4),
        "p": round(paired_t_test(best, base), 4),
        "change on the test part, by half-life": _changes(test),
        "change on the validation part, by half-life": _changes(validation),
        "change on the test part where all plays fade": _changes(
            {half_life: _ndcg_of_faded_plays(fold, half_life) for half_life in _HALF_LIVES}
        ),
    }


def _ndcg(fold: Fold, half_life: float | None) -> NDArray[np.float64]:
    """Returns the NDCG of each user with a history and a test artist."""
    parameters = replace(DEFAULT.parameters, half_life=half_life)
    model = fit_model(fold.train, parameters)
    evaluation = evaluate(model, fold, {_ALS: Contender(Strategy.AUTO)}, k=_K, cutoffs=())
    return evaluation.per_user(_ALS, NDCG)[evaluation.n_history > 0]


def _ndcg_of_faded_plays(fold: Fold, half_life: float | None) -> NDArray[np.float64]:
    """Returns the same for plays that fade before training, so that item factors fade too."""
    user_items = fold.train.with_recency(half_life).user_items
    if user_items.recency is not None:
        faded = user_items.plays * user_items.recency
        user_items = replace(user_items, plays=faded, recency=None)
    train = replace(fold.train, user_items=user_items, timed=None)
    return _ndcg(replace(fold, train=train), None)


def _changes(by_half_life: dict[float | None, NDArray[np.float64]]) -> dict[str, float]:
    base = by_half_life[None].mean()
    return {
        f"{half_life:g}": round(float(ndcg.mean() / base) - 1, 4)
        for half_life, ndcg in by_half_life.items()
        if half_life is not None
    }


def _days(interactions: Interactions) -> float:
    times = interactions.records().timestamps
    return float(times.max() - times.min()) / 86400


def _data(hetrec: Path, folder: Path, users: int) -> Iterator[tuple[str, Interactions]]:
    yield "HetRec, tags", load("table", _write_tags(hetrec, folder / "tags.csv"))
    for drift in _DRIFTS:
        out = folder / f"drift {drift:g}"
        generate_timed(out, users=users, artists=3 * users, drift=drift)
        yield f"made up, drift {drift:g}", load("synthetic", out)


def _write_tags(hetrec: Path, path: Path) -> Path:
    """Writes user, artist and time of each tag; a few tags are dated before Last.fm existed."""
    tags = pl.read_csv(hetrec / "user_taggedartists.dat", separator="\t")
    tags.filter(pl.col("year") >= 2005).select(
        user_id="userID",
        item_id="artistID",
        timestamp=pl.date("year", "month", "day").dt.epoch("s"),
    ).write_csv(path)
    return path


def main() -> None:
    """Runs from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hetrec", type=Path, required=True)
    parser.add_argument("--users", type=int, default=1000, help="who are made up")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = {}
        for name, interactions in _data(given.hetrec, Path(folder), given.users):
            figures[name] = measure(interactions)
            print(json.dumps({name: figures[name]}, indent=2), flush=True)
    result = {"conditions": conditions(), "k": _K, **figures}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
