"""Precomputed lists: the best unseen items of each user."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app.model.model import Model, TopLists
from app.ranking.scoring import USERS_PER_SCAN, top_items
from training.progress import NoProgress, Progress
from training.threads import in_threads


def with_top_lists(model: Model, length: int, *, progress: Progress | None = None) -> Model:
    """Adds the best unseen items of each user with a history.

    Args:
        model: a model.
        length: items of each list, 0 for a model without lists.
        progress: told of the finished users.
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
        # A user without history has a zero vector, which ranks arbitrarily.
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
