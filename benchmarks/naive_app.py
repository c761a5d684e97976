"""The simplest way to serve implicit: a handler that calls ``recommend`` for each request.

The factors of a published model are copied into memory and given to implicit, and implicit ranks
for every request. The variable ``BENCHMARK_MODELS`` names the models folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from fastapi import FastAPI
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

from app.artifacts.models_folder import ModelsFolder
from app.model.model import Model

MODELS: Final = "BENCHMARK_MODELS"

Answer: TypeAlias = list[dict[str, Any]]


def async_app() -> FastAPI:
    """Builds the app whose handler is a coroutine, so it computes on the event loop."""
    app, recommend = FastAPI(), _recommender(_open())

    @app.get("/recommend/{user_id}")
    async def answer(user_id: str, include_seen: bool = False) -> Answer:
        return recommend(user_id, include_seen)

    return app


def threads_app() -> FastAPI:
    """Builds the app whose handler is a plain function, so FastAPI runs it on its threads."""
    app, recommend = FastAPI(), _recommender(_open())

    @app.get("/recommend/{user_id}")
    def answer(user_id: str, include_seen: bool = False) -> Answer:
        return recommend(user_id, include_seen)

    return app


def _open() -> Model:
    return ModelsFolder(Path(os.environ[MODELS])).open_current()


def _recommender(model: Model) -> Callable[[str, bool], Answer]:
    # One thread: a request is one vector, which implicit does not divide among threads.
    als = AlternatingLeastSquares(factors=model.item_factors.shape[1], num_threads=1)
    als.user_factors, als.item_factors = np.array(model.user_factors), np.array(model.item_factors)
    rows = model.user_items
    user_items = sparse.csr_matrix(
        (np.array(rows.plays), np.array(rows.indices), np.array(rows.indptr)),
        shape=(rows.n_users, rows.n_items),
    )
    index_of = {user_id: index for index, user_id in enumerate(model.users.strings)}
    artist_ids, names = list(model.items.strings), list(model.item_names)

    def recommend(user_id: str, include_seen: bool) -> Answer:
        user = index_of[user_id]
        items, scores = als.recommend(
            user, user_items[user], N=10, filter_already_liked_items=not include_seen
        )
        return [
            {"artist_id": artist_ids[item], "name": names[item], "score": score}
            for item, score in zip(items.tolist(), scores.tolist(), strict=True)
        ]

    return recommend
