"""From interactions to a model in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from app.activity import EventUnit
from app.fold_in import fold_in, gramian, regularized_inverse
from app.id_map import IdMap
from app.interactions import UserItems
from app.model import Model, Popularity, TopLists
from app.scoring import USERS_PER_SCAN, item_norms, top_items
from app.weighting import Weighting
from training.als import Parameters, confidence_matrix, fit_item_factors
from training.interactions import Interactions

_USERS_PER_BLOCK: Final = 256


class Progress(Protocol):
    """Shows how far a step has come."""

    def step(self, name: str, total: int) -> Callable[[int], None]:
        """Starts a step; the returned function is called with what has been done since."""
        ...


class NoProgress:
    """Shows nothing."""

    def step(self, name: str, total: int) -> Callable[[int], None]:
        """Ignores the step."""
        del name, total
        return lambda _done: None


@dataclass(frozen=True, slots=True)
class PartOf:
    """Shows steps as parts of a larger one.

    Attributes:
        name: of the larger step.
        progress: where they are shown.
    """

    name: str
    progress: Progress | None

    def step(self, name: str, total: int) -> Callable[[int], None]:
        """Starts a step under both names."""
        return (self.progress or NoProgress()).step(f"{self.name}: {name}", total)


def in_threads(work: Callable[[int], None], starts: Iterable[int]) -> None:
    """Does independent blocks of numpy work on all cores; one BLAS thread in each."""
    with threadpool_limits(limits=1, user_api="blas"):
        Parallel(n_jobs=-1, prefer="threads")(delayed(work)(start) for start in starts)


def fit_model(
    interactions: Interactions,
    parameters: Parameters,
    *,
    progress: Progress | None = None,
    threads: int = 0,
    number_by_length: bool = False,
) -> Model:
    """Trains on all given pairs.

    Args:
        interactions: at least one pair; with times, where tastes are to fade.
        parameters: the hyperparameters.
        progress: told of ALS iterations and of the final solve.
        threads: of ALS, 0 for one a core.
        number_by_length: whether the model numbers its items by the length of their vectors,
            longest first, so that scans end early (``app/scoring.py``), and not as
            ``interactions`` does.

    Returns:
        A model named ``in-memory`` without precomputed lists.
    """
    progress = progress or NoProgress()
    interactions = interactions.with_recency(parameters.half_life)
    user_items = interactions.user_items
    weighting = Weighting.fit(user_items, parameters.weighting, k1=parameters.k1, b=parameters.b)
    confidence = confidence_matrix(user_items, weighting, parameters.alpha)
    parameters = parameters.resolve(confidence)
    iteration_done = progress.step("ALS iterations", parameters.iterations)

    def watch(_iteration: int, _item_factors: NDArray[np.float32]) -> bool:
        iteration_done(1)
        return False

    item_factors = fit_item_factors(confidence, parameters, watch=watch, threads=threads)
    if number_by_length:
        order = np.argsort(-item_norms(item_factors), kind="stable")
        item_factors, interactions = item_factors[order], interactions.with_items_in(order)
        if len(weighting.idf):
            weighting = replace(weighting, idf=weighting.idf[order])
    return assemble_model(interactions, item_factors, weighting, parameters, progress=progress)


def assemble_model(
    interactions: Interactions,
    item_factors: NDArray[np.float32],
    weighting: Weighting,
    parameters: Parameters,
    *,
    progress: Progress | None = None,
) -> Model:
    """Makes a model of given item factors: solves the users, counts popularity, maps the ids."""
    progress = progress or NoProgress()
    user_items = interactions.user_items
    # An item that nobody has carries only the noise of its start; it must not enter a list.
    item_factors = np.where((user_items.listeners() > 0)[:, None], item_factors, np.float32(0))
    with threadpool_limits(limits=1, user_api="blas"):
        item_gramian = gramian(item_factors)
    user_factors = solve_users(
        user_items,
        item_factors,
        item_gramian,
        weighting,
        parameters,
        progress=progress.step("user vectors", user_items.n_users),
    )
    return Model(
        version="in-memory",
        card={},
        users=IdMap.build(interactions.user_ids.to_list()),
        items=interactions.items.mapped(),
        user_factors=user_factors,
        item_factors=item_factors,
        item_gramian=item_gramian,
        user_items=user_items,
        popularity=Popularity.count(user_items),
        weighting=weighting,
        alpha=parameters.alpha,
        regularization=parameters.fold_in_regularization,
        event_unit=EventUnit.of(user_items, weighting),
    )


def solve_users(
    user_items: UserItems,
    item_factors: NDArray[np.float32],
    item_gramian: NDArray[np.float64],
    weighting: Weighting,
    parameters: Parameters,
    *,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Folds all rows in, on all cores.

    Args:
        user_items: raw plays, n_users x n_items.
        item_factors: float32, shape (n_items, factors).
        item_gramian: float64, shape (factors, factors), of the item factors.
        weighting: fitted on the training part.
        parameters: alpha and the resolved regularization are used here.
        progress: called with the number of users done since the last call.

    Returns:
        float32, shape (n_users, factors), each row as ``fold_in`` alone gives it.
    """
    vectors = np.zeros((user_items.n_users, item_factors.shape[1]), dtype=np.float32)
    # Its last bits depend on the number of BLAS threads.
    with threadpool_limits(limits=1, user_api="blas"):
        inverse = regularized_inverse(item_gramian, parameters.fold_in_regularization)

    def solve(start: int) -> None:
        users = np.arange(start, min(start + _USERS_PER_BLOCK, user_items.n_users))
        vectors[users] = fold_in(
            user_items.take(users),
            item_factors,
            item_gramian,
            weighting,
            alpha=parameters.alpha,
            regularization=parameters.fold_in_regularization,
            inverse=inverse,
        )
        if progress:
            progress(len(users))

    in_threads(solve, range(0, user_items.n_users, _USERS_PER_BLOCK))
    return vectors


def with_top_lists(model: Model, length: int, *, progress: Progress | None = None) -> Model:
    """Adds the best unseen items of everyone with a history.

    Args:
        model: a model.
        length: items a list, 0 for a model without lists.
        progress: told of the users done.
    """
    if length == 0:
        return replace(model, top_lists=None)
    n_users = len(model.users)
    items = np.full((n_users, length), -1, dtype=np.int32)
    scores = np.zeros((n_users, length), dtype=np.float32)
    done = (progress or NoProgress()).step("everyone's list", n_users)
    catalogue = model.catalogue

    def fill(start: int) -> None:
        within = range(start, min(start + USERS_PER_SCAN, n_users))
        # A user without history has a zero vector, which would rank arbitrarily.
        users = [user for user in within if model.has_history(user)]
        ranked = top_items(
            model.user_factors[users],
            catalogue,
            n=length,
            hidden=[model.user_items.row(user)[0] for user in users],
        )
        for user, (best, best_scores) in zip(users, ranked, strict=True):
            items[user, : len(best)] = best
            scores[user, : len(best)] = best_scores
        done(len(within))

    in_threads(fill, range(0, n_users, USERS_PER_SCAN))
    return replace(model, top_lists=TopLists(items, scores))
