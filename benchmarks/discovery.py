"""Compares discounts for the discovery dial: their gain in variety at a given loss of NDCG.

    python -m benchmarks.discovery --hetrec ../shared/data/hetrec2011-lastfm-2k

A discount multiplies an artist's score by a negative power of its listeners, of the length of its
vector, or of both. Its strength is raised until NDCG@10 has fallen to given shares of its value
without a discount; coverage, novelty and Gini at each share are interpolated between the two
nearest strengths. A good discount has high values, and reaches a share at about the same strength
on all data. As for the preset, only validation parts cut from training parts are used.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.model.model import Model
from app.ranking.discovery import LENGTH_EXPONENT, LISTENERS_EXPONENT, log_discount
from app.ranking.scoring import Catalogue, item_norms, top_items
from benchmarks.conditions import conditions
from benchmarks.preset import Parts, load, validation_parts
from training.datasets.synthetic.generator import generate
from training.fitting.fit import fit_model
from training.fitting.hyperparameters import Parameters
from training.measuring.evaluation import evaluate
from training.presets import DEFAULT, REFERENCE
from training.splitting.split import Fold
from training.threads import in_threads

RESULT: Final = Path(__file__).parent / "results" / "discovery.json"
_SHARES: Final = (0.99, 0.95, 0.9, 0.8, 0.6)
_STRENGTHS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0)
_BLOCK: Final = 256
# Powers of the vector's length and of the listeners, at strength 1 about as strong as each other.
_EXPONENTS: Final[Mapping[str, tuple[float, float]]] = {
    "listeners": (0.0, 0.3),
    "length": (0.75, 0.0),
    "length and a few listeners": (0.6, 0.06),
    "the service's": (LENGTH_EXPONENT, LISTENERS_EXPONENT),
    "as much listeners as length": (0.24, 0.24),
}

_FIGURES: Final = ("strength", "coverage", "novelty", "gini")

# The figures at each share of the NDCG.
Shares: TypeAlias = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Discounted:
    """Lists by discounted scores.

    Attributes:
        length_exponent, listeners_exponent: the powers at strength 1.
        strength: factor of both powers; 0 for no discount.
    """

    length_exponent: float
    listeners_exponent: float
    strength: float

    def lists(
        self,
        model: Model,
        fold: Fold,
        users: NDArray[np.int64],
        k: int,
        done: Callable[[int], None],
    ) -> NDArray[np.int64]:
        """Ranks with the scorer of the service; see ``GivesLists``."""
        del fold
        norms = np.linalg.norm(model.item_factors.astype(np.float64), axis=1)
        logs = log_discount(
            norms,
            model.popularity.listeners,
            length_exponent=self.length_exponent,
            listeners_exponent=self.listeners_exponent,
        )
        catalogue = Catalogue.of(
            model.item_factors,
            item_norms(model.item_factors),
            left_out=model.unlistened,
            log_discount=logs,
        ).dialled(self.strength)
        lists = np.full((len(users), k), -1, dtype=np.int64)

        def fill(start: int) -> None:
            part = users[start : start + _BLOCK]
            hidden = [model.user_items.row(user)[0] for user in part]
            ranked = top_items(model.user_factors[part], catalogue, n=k, hidden=hidden)
            for row, (items, _) in enumerate(ranked, start=start):
                lists[row, : len(items)] = items
            done(len(part))

        in_threads(fill, range(0, len(users), _BLOCK))
        return lists

    def to_manifest(self) -> dict[str, Any]:
        """Returns the exponents and the strength."""
        return asdict(self)


def data_sets(hetrec: Path, folder: Path) -> Iterator[tuple[str, Parts, Parameters]]:
    """Yields validation parts with the hyperparameters to fit them with."""
    real = validation_parts(load("hetrec-lastfm-2k", hetrec))
    yield "hetrec", real, DEFAULT.parameters
    yield "hetrec, the study's hyperparameters", real, REFERENCE.parameters
    for seed, (users, artists) in enumerate(((2000, 3000), (1000, 10_000)), start=3):
        generate(folder / str(seed), users=users, artists=artists, seed=seed)
        parts = validation_parts(load("synthetic", folder / str(seed)))
        yield f"generated {users} x {artists}", parts, DEFAULT.parameters


def compare(parts: Parts, parameters: Parameters) -> dict[str, Shares]:
    """Returns the measures of each discount."""
    train, test = parts
    model = fit_model(train, parameters)
    contenders = {
        f"{name} {strength}": Discounted(*exponents, strength)
        for name, exponents in _EXPONENTS.items()
        for strength in (0.0, *_STRENGTHS)
    }
    evaluation = evaluate(model, Fold(train, test), contenders, cutoffs=())
    return {
        name: at_shares(
            [
                evaluation.values(f"{name} {strength}") | {"strength": strength}
                for strength in (0.0, *_STRENGTHS)
            ]
        )
        for name in _EXPONENTS
    }


def at_shares(curve: list[dict[str, float]]) -> Shares:
    """Interpolates a curve, which begins without a discount, at each share of its NDCG.

    A share that the NDCG does not fall below has no entry.
    """
    ndcg = np.array([point["ndcg"] for point in curve]) / curve[0]["ndcg"]
    result = {}
    for share in _SHARES:
        if (ndcg < share).any():
            after = int(np.argmax(ndcg < share))
            before, behind = curve[after - 1], curve[after]
            part = (ndcg[after - 1] - share) / (ndcg[after - 1] - ndcg[after])
            result[str(share)] = {
                name: round(float(before[name] + part * (behind[name] - before[name])), 4)
                for name in _FIGURES
            }
    return result


def main() -> None:
    """Compares on every data set, prints and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--hetrec", type=Path, required=True, help="folder of user_artists.dat")
    parser.add_argument("--result", type=Path, default=RESULT)
    arguments = parser.parse_args()
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, parts, parameters in data_sets(arguments.hetrec, Path(folder)):
            result[name] = compare(parts, parameters)
            print(f"\n{name}: {', '.join(_FIGURES)} at a share of the NDCG", flush=True)
            for discounted, shares in result[name].items():
                print(f"  {discounted}")
                for share, figures in shares.items():
                    print(f"    {share:<5}", *(f"{figures[one]:8.3f}" for one in _FIGURES))
    summary = {"conditions": conditions(), "exponents": _EXPONENTS, "data_sets": result}
    arguments.result.write_text(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main()
