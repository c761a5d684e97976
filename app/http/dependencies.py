"""What the handlers get from the app."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from app.http.answers import ScoringThreads
from app.model_watcher import ModelWatcher
from app.recommender import Recommender

# Coroutines, since FastAPI would run plain functions in a thread.


async def _watcher(request: Request) -> ModelWatcher:
    watcher: ModelWatcher = request.app.state.watcher
    return watcher


async def _recommender(request: Request) -> Recommender:
    """Pins the model in service for the whole request."""
    return (await _watcher(request)).recommender


async def _threads(request: Request) -> ScoringThreads:
    threads: ScoringThreads = request.app.state.threads
    return threads


Watcher = Annotated[ModelWatcher, Depends(_watcher)]
CurrentRecommender = Annotated[Recommender, Depends(_recommender)]
Threads = Annotated[ScoringThreads, Depends(_threads)]
