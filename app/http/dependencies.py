"""What the handlers get from the app."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from app.http.batcher import Batcher
from app.model_watcher import ModelWatcher
from app.recommender import Recommender

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


Watcher = Annotated[ModelWatcher, Depends(_watcher)]
CurrentRecommender = Annotated[Recommender, Depends(_recommender)]
CurrentBatcher = Annotated[Batcher, Depends(_batcher)]
