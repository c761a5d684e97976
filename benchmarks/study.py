"""The study of HetRec without leakage: five folds, each with its own search, and held-out users.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.study --hetrec PATH

Five folds over all pairs. For each fold, hyperparameters are searched on a validation part cut
from its training part, and its test part is looked at once, with the winner. Every search starts
at what the search for the preset found on generated data alone, since the preset itself was chosen
with an eye on most of these pairs. Beside it stand the preset and that start. Then users are held
out, several times, and answered by fold-in, beside the same users trained in. Published figures on
the same protocol are in docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from app.model.weighting import WeightingName
from benchmarks.conditions import conditions
from benchmarks.preset import LOG, load, parameters_of, read_log, winner
from training.data.interactions import Interactions
from training.fitting.fit import fit_model
from training.fitting.hyperparameters import Parameters
from training.measuring.evaluation import evaluate
from training.measuring.experiment import TRAINED_IN, Plan, measure, validation_of
from training.measuring.figures import Figures
from training.measuring.summary import summarise
from training.presets import DEFAULT, changed
from training.splitting.drawn import HeldOutUsers, KFold
from training.splitting.split import Fold
from training.tuning.search import Budget, search
from training.tuning.space import Space

RESULTS: Final = Path(__file__).parent / "results" / "study.json"
_FIGURES: Final = ("precision", "recall", "ndcg", "coverage_items")


def of_generated_data() -> Parameters:
    """Returns the hyperparameters that did best on the generated data sets of the preset's log."""
    log = [
        line | {"ndcg": {n: v for n, v in line["ndcg"].items() if n.startswith("generated")}}
        for line in read_log(LOG)
    ]
    best, share = winner(log)
    return parameters_of(best["trial"], share)


def search_fold(fold: Fold, split: KFold, state: Path, trials: int) -> dict[str, Any]:
    """Returns the best options on the validation part of a fold, and the seconds of the search."""
    start = time.perf_counter()
    validation = validation_of(fold, split, k=10, seed=0)
    space = Space.for_data(validation.train.user_items)
    found = search(validation, space, state, Budget(trials, None), start=of_generated_data())
    seconds = time.perf_counter() - start
    return {"options": found.options(), "ndcg": found.winner.ndcg, "seconds": round(seconds, 1)}


def measure_searched(interactions: Interactions, trials: int) -> tuple[Figures, list[Any]]:
    """Searches and measures fold by fold."""
    split = KFold()
    evaluations, searches = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number, fold in enumerate(split.folds(interactions)):
            found = search_fold(fold, split, Path(folder) / f"{number}.search", trials)
            print(f"fold {number + 1}: {found}", flush=True)
            options = found["options"] | {"weighting": WeightingName(found["options"]["weighting"])}
            parameters = changed(replace(DEFAULT, variants=()), options).parameters
            model = fit_model(fold.train, parameters)
            evaluations.append(evaluate(model, fold, DEFAULT.contenders))
            searches.append(found)
    return summarise(evaluations, split.to_manifest()), searches


def measure_held_out(
    interactions: Interactions, parameters: Parameters, seeds: int
) -> dict[str, Any]:
    """Returns NDCG@10 of held-out users by fold-in and trained in, for several draws."""
    preset = replace(
        DEFAULT,
        split=HeldOutUsers(),
        parameters=parameters,
        contenders={"als": DEFAULT.contenders["als"]},
    )
    figures = measure(interactions, preset, Plan(repeats=seeds)).figures
    folded = [fold["als"]["ndcg"] for fold in figures.per_fold]
    trained = [fold[TRAINED_IN]["ndcg"] for fold in figures.per_fold]
    ratios = [one / other for one, other in zip(folded, trained, strict=True)]
    return {
        "fold_in": round(fmean(folded), 4),
        "trained_in": round(fmean(trained), 4),
        "ratio": round(fmean(folded) / fmean(trained), 4),
        "ratios": [round(ratio, 4) for ratio in ratios],
    }


def shown(figures: Figures) -> dict[str, Any]:
    """Returns value, lower and upper bound of the figures at k, by contender."""
    return {
        name: {
            figure: [round(bound, 4) for bound in (estimate.value, *(estimate.interval or []))]
            for figure, estimate in by_cutoff[figures.k].items()
            if figure in _FIGURES
        }
        for name, by_cutoff in figures.models.items()
    }


def main() -> None:
    """Runs all parts, prints and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--hetrec", type=Path, required=True, help="folder of user_artists.dat")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=10, help="draws of held-out users")
    arguments = parser.parse_args()
    interactions = load("hetrec-lastfm-2k", arguments.hetrec)
    results: dict[str, Any] = {"conditions": conditions(), "trials": arguments.trials}
    for name, parameters in (("preset", DEFAULT.parameters), ("start", of_generated_data())):
        recipe = replace(DEFAULT, split=KFold(), parameters=parameters)
        results[name] = {
            "parameters": parameters.to_manifest(),
            "five_folds": shown(measure(interactions, recipe).figures),
            "held_out": measure_held_out(interactions, parameters, arguments.seeds),
        }
        print(json.dumps(results[name], indent=2), flush=True)
    searched, searches = measure_searched(interactions, arguments.trials)
    results["searched"] = {"five_folds": shown(searched), "searches": searches}
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results["searched"], indent=2))


if __name__ == "__main__":
    main()
