"""What the handlers get from the app."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from fastapi import Depends, Request

from app.http.batcher import Batcher
from app.model_watcher import ModelWatcher
from app.recommender import Recommender
from app.serving.journal.journal import Journal

# Coroutines, since FastAPI would run plain functions in a thread.


async def _watcher(request: Request) -> ModelWatcher:
    watcher: ModelWatcher = request.app.state.watcher
    return watcher


async def _recommender(request: Request) -> Recommender:
    """Pins the model in service for the whole request."""
    return (await _watcher(request)).recommender


async def _batcher(request: Request) -> Batcher:
    batcher: Batcher = request.app.state.batcher
    return batcher


async def _journal(request: Request) -> Journal:
    journal: Journal = request.app.state.journal
    return journal


class Serving(NamedTuple):
    """What a list takes; the model is pinned for the whole request."""

    recommender: Recommender
    journal: Journal
    batcher: Batcher


async def _serving(request: Request) -> Serving:
    return Serving(await _recommender(request), await _journal(request), await _batcher(request))


Watcher = Annotated[ModelWatcher, Depends(_watcher)]
CurrentRecommender = Annotated[Recommender, Depends(_recommender)]
CurrentJournal = Annotated[Journal, Depends(_journal)]
CurrentServing = Annotated[Serving, Depends(_serving)]
