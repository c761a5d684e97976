"""What the handlers get from the app."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from fastapi import Depends, Request

from app.recommend.ladder import Recommender
from app.serving.batcher import Batcher
from app.serving.journal.journal import Journal
from app.serving.model_watcher import ModelWatcher
from app.serving.pinning import pin

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


async def _pinned(request: Request) -> Recommender:
    """Pins the situation for the whole request, with what is available by now."""
    return await pin(await _watcher(request), await _journal(request))


class Serving(NamedTuple):
    """What a list takes; the situation is pinned for the whole request."""

    recommender: Recommender
    journal: Journal
    batcher: Batcher


async def _serving(request: Request) -> Serving:
    return Serving(await _pinned(request), await _journal(request), await _batcher(request))


Watcher = Annotated[ModelWatcher, Depends(_watcher)]
CurrentRecommender = Annotated[Recommender, Depends(_recommender)]
PinnedRecommender = Annotated[Recommender, Depends(_pinned)]
CurrentJournal = Annotated[Journal, Depends(_journal)]
CurrentServing = Annotated[Serving, Depends(_serving)]
