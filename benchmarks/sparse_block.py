"""What a sparse block of weights of items on items would add to ALS, where low rank loses.

    python -m benchmarks.sparse_block --shared ../shared/data

Data sets: HetRec with counts, citeulike-a, amazon-beauty. As in ``benchmarks.preset`` a validation
part is cut (``RandomPerUser``, a fifth, seed 100, at least 3 artists) from the training part of the
first split (seed 0; amazon-beauty: its own training part), and no test part is looked at. Figures
are NDCG@20 over all validation users. ALS has the hyperparameters of the preset, but for
regularization and alpha, which are walked on that part. Beside it stand EASE, exact; its 128
largest weights of each row; the same pattern with weights fitted again by ridge; and item-kNN.
Each of them is measured alone, and added to ALS with a weight that is chosen on a thousand users of
the same part, so a sum may be a little too good.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from app.model.interactions import UserItems
from benchmarks.conditions import conditions
from benchmarks.preset import als_alone, load, validation_parts
from training.data.interactions import Interactions
from training.fitting.fit import fit_model
from training.fitting.hyperparameters import Parameters
from training.measuring.contenders import CONTENDERS
from training.measuring.convergence import Validation
from training.measuring.ease import Ease, Solved
from training.measuring.fitted import Matrix, best_of, matrix_of
from training.measuring.item_knn import ItemKnn
from training.measuring.measures import ndcg
from training.measuring.searched import Chosen, Searched
from training.splitting.drawn import RandomPerUser
from training.splitting.split import Fold
from training.threads import in_threads

RESULTS: Final = Path(__file__).parent / "results" / "sparse_block.json"
K: Final = 20
WEIGHTS_A_ROW: Final = 128
_VALIDATION_SEED: Final = 100
_BLOCK: Final = 256
_STRIPE: Final = 512
_CHOOSING: Final = 1000
# Multiples of the hyperparameters of the preset.
SCALES: Final = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
# Weights of a block beside ALS, when both have the same deviation.
_SHARES: Final = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)

# Returns the scores of some users of the training part, shape (n_users, n_items).
Scores: TypeAlias = Callable[[NDArray[np.int64]], NDArray[np.floating]]


def folds_of(shared: Path) -> Iterator[tuple[str, Fold]]:
    """Yields the data sets by name, each as training and validation part."""
    hetrec = load("hetrec-lastfm-2k", shared / "hetrec2011-lastfm-2k")
    yield "hetrec", Fold(*validation_parts(hetrec))
    citeulike = load("table", shared / "citeulike-a" / "pairs.csv")
    yield "citeulike-a", Fold(*validation_parts(citeulike))
    beauty = load("table", shared / "amazon-beauty" / "train.csv")
    yield "amazon-beauty", Fold(*cut(beauty))


def cut(train: Interactions) -> tuple[Interactions, Interactions]:
    """Cuts the validation part of a training part, as ``benchmarks.preset`` does."""
    return RandomPerUser(min_items=3, seed=_VALIDATION_SEED).split(train)


class Lists:
    """Measures scores on a validation part.

    Args:
        fold: training part and validation part.
    """

    def __init__(self, fold: Fold) -> None:
        train, test = fold.train.user_items, fold.test.user_items
        self.users = np.flatnonzero((test.row_lengths() > 0) & (train.row_lengths() > 0))
        self.train, self.test = train, test
        self.untrained = np.flatnonzero(train.listeners() == 0)
        self.items = np.arange(train.n_items)
        self.some = np.sort(np.random.default_rng(0).permutation(self.users)[:_CHOOSING])

    def ndcg(self, scores: Scores, users: NDArray[np.int64] | None = None) -> float:
        """Returns NDCG@20 of the lists that scores give, by default of all users."""
        users = self.users if users is None else users
        values = np.zeros(len(users))

        def measure(start: int) -> None:
            part = users[start : start + _BLOCK]
            made = np.array(scores(part), dtype=np.float32)
            made[:, self.untrained] = -np.inf
            hits = np.zeros((len(part), K), dtype=bool)
            for row, user in enumerate(part):
                made[row, self.train.row(user)[0]] = -np.inf
                best = best_of(self.items, made[row], K)
                hits[row] = np.isin(best, self.test.row(user)[0])
            values[start : start + _BLOCK] = ndcg(hits, self.test.row_lengths()[part])

        in_threads(measure, range(0, len(users), _BLOCK))
        return float(values.mean())

    def deviation(self, scores: Scores) -> float:
        """Returns the standard deviation of the scores of some users."""
        return float(np.std(scores(self.users[:_BLOCK])))

    def sums(self, first: Scores, second: Scores) -> dict[str, Any]:
        """Chooses the share of the second beside the first on some users; measures it on all."""
        ours, theirs = self.deviation(first), self.deviation(second)

        def at(share: float, users: NDArray[np.int64]) -> float:
            def scores(part: NDArray[np.int64]) -> NDArray[np.floating]:
                return np.asarray(first(part) / ours + (share / theirs) * second(part))

            return self.ndcg(scores, users)

        tried = {share: round(at(share, self.some), 5) for share in _SHARES}
        best = max(_SHARES, key=lambda share: tried[share])
        return {
            "share": best,
            "ndcg": round(at(best, self.users), 5),
            "by_share": {f"{share:g}": value for share, value in tried.items()},
        }


def walk(
    start: Mapping[str, float],
    space: Mapping[str, Sequence[float]],
    score: Callable[[Mapping[str, float]], float],
    rounds: int = 2,
) -> dict[str, float]:
    """Walks values up and down from a start, one name after the other, while the score rises."""
    measured: dict[tuple[tuple[str, float], ...], float] = {}

    def of(options: dict[str, float]) -> float:
        key = tuple(sorted(options.items()))
        if key not in measured:
            measured[key] = score(options)
        return measured[key]

    best = dict(start)
    for _ in range(rounds):
        before = dict(best)
        for name, values in space.items():
            place = values.index(best[name])
            for step in (1, -1):
                here = place + step
                while 0 <= here < len(values):
                    tried = {**best, name: values[here]}
                    if of(tried) <= of(best):
                        break
                    best, here = tried, here + step
                if best[name] != values[place]:
                    break
        if best == before:
            break
    return best


def tuned_als(lists: Lists, train: Interactions) -> tuple[Parameters, Scores]:
    """Walks regularization and alpha from those of the preset; returns the best, and its scores."""
    start = als_alone()
    made: dict[tuple[float, float], tuple[Parameters, Scores]] = {}

    def score(options: Mapping[str, float]) -> float:
        parameters = replace(
            start,
            regularization=start.regularization * options["regularization"],
            alpha=start.alpha * options["alpha"],
        )
        model = fit_model(train, parameters)
        users, items = np.asarray(model.user_factors), np.asarray(model.item_factors)

        def scores(some: NDArray[np.int64]) -> NDArray[np.floating]:
            return np.asarray(users[some] @ items.T)

        made[options["regularization"], options["alpha"]] = parameters, scores
        return lists.ndcg(scores, lists.some)

    best = walk(
        {"regularization": 1.0, "alpha": 1.0}, {"alpha": SCALES, "regularization": SCALES}, score
    )
    return made[best["regularization"], best["alpha"]]


def chosen(name: str, fold: Fold) -> Chosen:
    """Searches a contender on the validation part."""
    searched = CONTENDERS[name].gives
    if not isinstance(searched, Searched):
        raise AssertionError(f"{name} has no search")
    part = Validation(fold, k=K, sample=1000)
    return searched.choose(fold.train.user_items, lambda: part, k=K)


def scores_of_ease(solved: Solved, rows: UserItems) -> Scores:
    """Returns the scores of exact EASE."""

    def scores(users: NDArray[np.int64]) -> NDArray[np.floating]:
        whole = np.zeros((len(users), rows.n_items))
        whole[:, solved.items] = solved.scores(rows.take(users))
        return whole

    return scores


def largest_weights(solved: Solved, n_items: int, count: int) -> Matrix:
    """Returns the largest weights of each row of EASE's B, n_items x n_items."""
    n = len(solved.items)
    stripes: dict[int, Matrix] = {}

    def prune(start: int) -> None:
        rows = sparse.identity(n, format="csr")[start : start + _STRIPE]
        weights = solved.times_p(rows) / -solved.diagonal
        places = np.arange(len(weights))
        weights[places, start + places] = 0
        order = np.argpartition(-np.abs(weights), count, axis=1)[:, :count]
        values = np.take_along_axis(weights, order, axis=1)
        made = sparse.csr_matrix(
            (values.ravel(), order.ravel(), np.arange(0, values.size + 1, count)), weights.shape
        )
        stripes[start] = made

    in_threads(prune, range(0, n, _STRIPE))
    among = sparse.vstack([stripes[start] for start in sorted(stripes)], format="coo")
    return sparse.csr_matrix(
        (among.data, (solved.items[among.row], solved.items[among.col])), (n_items, n_items)
    )


def fitted_by_ridge(pattern: Matrix, user_items: UserItems, regularization: float) -> Matrix:
    """Fits the weights of a pattern again: each column by ridge on the rows that it has.

    Columns with more rows than ``WEIGHTS_A_ROW`` use the largest of them, so that no system is
    larger.
    """
    x = matrix_of(user_items, np.ones(user_items.nnz))
    gramian = (x.T @ x).tocsr().astype(np.float32)
    columns = pattern.tocsc()
    columns.sort_indices()
    found: dict[int, tuple[NDArray[np.int32], NDArray[np.float64]]] = {}

    def fit(start: int) -> None:
        for column in range(start, min(start + _STRIPE, columns.shape[1])):
            span = slice(columns.indptr[column], columns.indptr[column + 1])
            rows, values = columns.indices[span], columns.data[span]
            if len(rows) > WEIGHTS_A_ROW:
                able = np.argpartition(-np.abs(values), WEIGHTS_A_ROW)[:WEIGHTS_A_ROW]
                rows = np.sort(rows[able])
            if len(rows) == 0:
                continue
            whole = gramian[rows]
            system = whole[:, rows].toarray().astype(np.float64)
            target = whole[:, [column]].toarray().ravel().astype(np.float64)
            system[np.diag_indices_from(system)] += regularization
            found[column] = rows, np.asarray(np.linalg.solve(system, target), dtype=np.float64)

    in_threads(fit, range(0, columns.shape[1], _STRIPE))
    order = sorted(found)
    return sparse.csr_matrix(
        (
            np.concatenate([found[column][1] for column in order]),
            (
                np.concatenate([found[column][0] for column in order]),
                np.repeat(order, [len(found[column][0]) for column in order]),
            ),
        ),
        pattern.shape,
    )


def scores_of_matrix(weights: Matrix, rows: UserItems, *, logs: bool = False) -> Scores:
    """Returns the scores of a sparse block: a sum over the history."""

    def scores(users: NDArray[np.int64]) -> NDArray[np.floating]:
        some = rows.take(users)
        values = np.log1p(some.plays) if logs else np.ones(some.nnz)
        return np.asarray((matrix_of(some, values) @ weights).toarray())

    return scores


def measure(fold: Fold, ridges: Sequence[float], say: Callable[[str], None]) -> dict[str, Any]:
    """Measures everything on one data set."""
    lists, user_items = Lists(fold), fold.train.user_items
    seconds: dict[str, float] = {}

    def timed(name: str, make: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        made = make()
        seconds[name] = round(time.perf_counter() - start, 1)
        say(f"{name}: {seconds[name]} s")
        return made

    parameters, als = timed("als, search", lambda: tuned_als(lists, fold.train))
    ease = timed("ease, search", lambda: chosen("ease", fold))
    if not isinstance(ease.contender, Ease):
        raise AssertionError("ease is EASE")
    solved = timed("ease", lambda: ease.contender.solve(user_items))
    knn = timed("item-knn, search", lambda: chosen("item-knn-searched", fold))
    if not isinstance(knn.contender, ItemKnn):
        raise AssertionError("item-knn is item-kNN")
    similar = timed("item-knn", lambda: knn.contender.fit(user_items))
    pruned = timed("pruning", lambda: largest_weights(solved, user_items.n_items, WEIGHTS_A_ROW))
    blocks: dict[str, Scores] = {
        "ease": scores_of_ease(solved, user_items),
        "ease, 128 weights a row": scores_of_matrix(pruned, user_items),
        "item-knn": scores_of_matrix(similar, user_items, logs=True),
    }
    for share in ridges:
        regularization = share * solved.regularization
        again = timed(
            f"ridge {share:g}", partial(fitted_by_ridge, pruned, user_items, regularization)
        )
        blocks[f"ridge on these, {share:g} of lambda"] = scores_of_matrix(again, user_items)
    alone = {"als": lists.ndcg(als)}
    sums: dict[str, Any] = {}
    for name, scores in blocks.items():
        alone[name] = lists.ndcg(scores)
        sums[name] = lists.sums(als, scores)
        say(f"{name}: {alone[name]:.4f}, added to als ({alone['als']:.4f}) {sums[name]}")
    return {
        "users": user_items.n_users,
        "items": user_items.n_items,
        "pairs": user_items.nnz,
        "validation_users": len(lists.users),
        "als": parameters.to_manifest(),
        "ease": ease.to_manifest(),
        "item-knn": knn.to_manifest(),
        "alone": {name: round(value, 5) for name, value in alone.items()},
        "added_to_als": sums,
        "bytes_of_128_weights": 8 * pruned.nnz,
        "seconds": seconds,
    }


def main() -> None:
    """Measures, prints and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--shared", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--only", help="one data set")
    parser.add_argument(
        "--ridges", type=float, nargs="*", default=(0.1, 1.0), help="shares of EASE's lambda"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    results: dict[str, Any] = {"conditions": conditions(), "k": K}
    if arguments.only and arguments.out.exists():
        results = json.loads(arguments.out.read_text())
    for name, fold in folds_of(arguments.shared):
        if arguments.only in (None, name):
            print(name, flush=True)
            results[name] = measure(fold, arguments.ridges, lambda text: print(text, flush=True))
            arguments.out.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    with threadpool_limits(limits=None):
        main()
