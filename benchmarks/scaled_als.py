"""Whether ALS gains by a weight of unobserved pairs and by regularization scaled by frequency.

    python -m benchmarks.scaled_als --shared ../shared/data

Rendle, Krichene, Zhang and Koren (Revisiting the Performance of iALS on Item Recommendation
Benchmarks, 2022) give every row a regularization of its own, lambda * f^nu with the frequency
f_u = n_u + a0 * n_items, and find it worth much beside a tuned weight a0 of unobserved pairs. In
the convention of Encore, where an unobserved pair has the confidence 1, a0 is an offset of the
confidence of the others, c = 1/a0 + alpha * weight, and f_u = sum (c_ui - 1) + n_items.

Both are tried here with implicit's own solver, which is called on groups of rows with nearly the
same regularization. Data sets, validation parts and NDCG@20 are those of
``benchmarks.sparse_block``; a thousand validation users choose, all are measured. Both arms have
the hyperparameters of the preset, with ``--factors`` factors. One arm walks the usual
regularization and alpha. The other one begins there with nu = 0.5, and walks these, nu, the part of
the constant in the frequency, and the offset. The offset is given as the share phi of the
confidence that all pairs have alike, c = 1 + alpha * (phi + (1 - phi) * weight).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from app.model.weighting import Weighting
from benchmarks.conditions import conditions
from benchmarks.preset import als_alone
from benchmarks.sparse_block import SCALES, K, Lists, folds_of, walk
from training.fitting.confidence import noise_scale
from training.fitting.fit import fit_model
from training.fitting.hyperparameters import Parameters
from training.splitting.split import Fold

RESULTS: Final = Path(__file__).parent / "results" / "scaled_als.json"
# Rows whose regularization differs by less than this factor are solved together.
_ALIKE: Final = 1.15
# Multiples of the hyperparameters of the preset.
_WIDE: Final = (0.12, 0.18, *SCALES, 5.6, 8.0)
_USUAL: Final[Mapping[str, Sequence[float]]] = {"regularization": _WIDE, "alpha": _WIDE}
_SCALED: Final[Mapping[str, Sequence[float]]] = {
    "regularization": _WIDE,
    "nu": (0.25, 0.5, 0.75, 1.0),
    "constant": (1.0, 0.1, 0.0),
    "phi": (0.0, 0.25, 0.5, 0.75),
    "alpha": _WIDE,
}
_START: Final = {"nu": 0.0, "constant": 1.0, "regularization": 1.0, "phi": 0.0, "alpha": 1.0}

Confidence = sparse.csr_matrix


@dataclass(frozen=True)
class Rows:
    """The rows of one side in groups of nearly the same regularization."""

    groups: Sequence[tuple[NDArray[np.int64], Confidence, float]]

    @classmethod
    def of(cls, confidence: Confidence, regularization: NDArray[np.float64]) -> Rows:
        """Groups rows; each group has the geometric mean of its bounds."""
        logs = np.log(regularization)
        step = np.log(_ALIKE)
        group = np.floor((logs - logs.min()) / step).astype(np.int64)
        found = []
        for one in np.unique(group):
            rows = np.flatnonzero(group == one)
            found.append((rows, confidence[rows], float(np.exp(logs[rows].mean()))))
        return cls(found)

    def solve(
        self,
        ours: NDArray[np.float32],
        theirs: NDArray[np.float32],
        solver: Callable[..., None],
        share: float = 1.0,
    ) -> None:
        """Solves all rows in place."""
        for rows, confidence, regularization in self.groups:
            part = np.ascontiguousarray(ours[rows])
            solver(confidence, part, theirs, share * regularization, num_threads=0)
            ours[rows] = part


def frequencies(confidence: Confidence, constant: float) -> NDArray[np.float64]:
    """Returns f of each row, shape (n_rows,), above 0."""
    extra = confidence.copy()
    extra.data = extra.data - 1.0
    sums = np.asarray(extra.sum(axis=1), dtype=np.float64).ravel()
    least = sums[sums > 0].min()
    return np.asarray(np.maximum(sums, least) + constant * confidence.shape[1])


def train(
    confidence: Confidence, parameters: Parameters, nu: float, constant: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Trains as implicit does, with a regularization for each row; solves users at the end.

    The regularization of the parameters is that of the average pair's rows.
    """
    from implicit.cpu._als import least_squares, least_squares_cg  # noqa: PLC0415
    from implicit.utils import check_random_state  # noqa: PLC0415

    transposed = confidence.T.tocsr()
    sides = []
    for matrix in (confidence, transposed):
        scaled = frequencies(matrix, constant) ** nu
        of_pairs = np.repeat(scaled, np.diff(matrix.indptr)).mean()
        sides.append(Rows.of(matrix, parameters.regularization * scaled / of_pairs))
    rng = check_random_state(parameters.seed)
    users, items = (
        rng.random((size, parameters.factors), dtype=np.float32) * np.float32(0.01)
        for size in confidence.shape
    )
    with threadpool_limits(limits=1, user_api="blas"):
        for _ in range(parameters.iterations):
            sides[0].solve(users, items, least_squares_cg)
            sides[1].solve(items, users, least_squares_cg)
        sides[0].solve(users, items, least_squares, parameters.fold_in_share)
    return users, items


class Arm:
    """Walks options, one after the other, and remembers what it measured."""

    def __init__(self, fold: Fold, parameters: Parameters, say: Callable[[str], None]) -> None:
        self.lists, self.parameters, self.say = Lists(fold), parameters, say
        user_items = fold.train.user_items
        self.weighting = Weighting.fit(
            user_items, parameters.weighting, k1=parameters.k1, b=parameters.b
        )
        weights = self.weighting.weigh(user_items)
        self.weights = sparse.csr_matrix(
            (weights, user_items.indices, user_items.indptr.astype(np.int32)),
            (user_items.n_users, user_items.n_items),
        )
        self.measured: dict[tuple[tuple[str, float], ...], float] = {}

    def ndcg(self, options: Mapping[str, float]) -> float:
        """Returns NDCG@20 of one set of options, of some users."""
        key = tuple(sorted(options.items()))
        if key not in self.measured:
            self.measured[key] = self._ndcg(options, self.lists.some)
            self.say(f"{dict(options)} {self.measured[key]:.4f}")
        return self.measured[key]

    def of_all(self, options: Mapping[str, float]) -> float:
        """Returns NDCG@20 of one set of options, of all users."""
        return self._ndcg(options, self.lists.users)

    def _ndcg(self, options: Mapping[str, float], of: NDArray[np.int64]) -> float:
        confidence = self.weights.copy()
        phi, alpha = options["phi"], options["alpha"] * self.parameters.alpha
        confidence.data = (1 + alpha * (phi + (1 - phi) * confidence.data)).astype(np.float32)
        regularization = (
            options["regularization"] * self.parameters.regularization * noise_scale(confidence)
        )
        parameters = replace(
            self.parameters, regularization=regularization, regularization_is_relative=False
        )
        users, items = train(confidence, parameters, options["nu"], options["constant"])
        return self.lists.ndcg(lambda some: users[some] @ items.T, of)


def measure(
    fold: Fold,
    parameters: Parameters,
    points: Sequence[Mapping[str, float]],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Measures both arms on one data set, or given points alone."""
    arm = Arm(fold, parameters, say)
    if points:
        measured = []
        for one in points:
            measured.append({**_START, **one, "ndcg": round(arm.of_all({**_START, **one}), 5)})
            say(str(measured[-1]))
        return {"validation_users": len(arm.lists.users), "points": measured}
    model = fit_model(fold.train, parameters)
    users, items = np.asarray(model.user_factors), np.asarray(model.item_factors)
    check = arm.lists.ndcg(lambda some: users[some] @ items.T)
    say(f"by the trainer itself: {check:.4f}")
    usual = walk(_START, _USUAL, arm.ndcg)
    scaled = walk({**usual, "nu": 0.5, "constant": 0.1}, _SCALED, arm.ndcg, rounds=1)
    # What the second arm found for the values of the first one is offered to the first one.
    found = {name: scaled[name] for name in _USUAL}
    usual = max(usual, walk({**_START, **found}, _USUAL, arm.ndcg), key=arm.ndcg)
    values = {"usual": round(arm.of_all(usual), 5), "scaled": round(arm.of_all(scaled), 5)}
    return {
        "parameters": parameters.to_manifest(),
        "validation_users": len(arm.lists.users),
        "by_the_trainer": round(check, 5),
        "usual": {"options": usual, "ndcg": values["usual"]},
        "scaled": {"options": scaled, "ndcg": values["scaled"]},
        "gain": round(values["scaled"] / values["usual"] - 1, 4),
        "tried": [{**dict(key), "ndcg": round(one, 5)} for key, one in arm.measured.items()],
    }


def main() -> None:
    """Measures, prints and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--shared", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--only", help="one data set")
    parser.add_argument(
        "--points", type=json.loads, default=[], help="JSON list of options to measure, and no walk"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    results: dict[str, Any] = {"conditions": conditions(), "k": K}
    if arguments.only and arguments.out.exists():
        results = json.loads(arguments.out.read_text())
    for name, fold in folds_of(arguments.shared):
        if arguments.only in (None, name):
            parameters = replace(als_alone(), factors=arguments.factors)
            print(name, flush=True)
            results[name] = measure(
                fold, parameters, arguments.points, lambda text: print(text, flush=True)
            )
            arguments.out.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
