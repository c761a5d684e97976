"""The dependencies of the handlers: the model, the journal and the batcher of the application."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from fastapi import Depends, Request

from app.recommend.ladder import Recommender
from app.serving.batcher import Batcher
from app.serving.journal.journal import Journal
from app.serving.model_follower import ModelFollower
from app.serving.pinning import pin

# Coroutines, since FastAPI would run plain functions in a thread.


async def _follower(request: Request) -> ModelFollower:
    follower: ModelFollower = request.app.state.follower
    return follower


async def _recommender(request: Request) -> Recommender:
    """Pins the model in service for the whole request."""
    return (await _follower(request)).recommender


async def _batcher(request: Request) -> Batcher:
    batcher: Batcher = request.app.state.batcher
    return batcher


async def _journal(request: Request) -> Journal:
    journal: Journal = request.app.state.journal
    return journal


async def _pinned(request: Request) -> Recommender:
    """Pins the situation for the whole request, with the current availability of artists."""
    return await pin(await _follower(request), await _journal(request))


class Serving(NamedTuple):
    """What answering a list needs; the situation is pinned for the whole request."""

    recommender: Recommender
    journal: Journal
    batcher: Batcher


async def _serving(request: Request) -> Serving:
    return Serving(await _pinned(request), await _journal(request), await _batcher(request))


Follower = Annotated[ModelFollower, Depends(_follower)]
CurrentRecommender = Annotated[Recommender, Depends(_recommender)]
PinnedRecommender = Annotated[Recommender, Depends(_pinned)]
CurrentJournal = Annotated[Journal, Depends(_journal)]
CurrentServing = Annotated[Serving, Depends(_serving)]
