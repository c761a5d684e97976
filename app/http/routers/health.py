"""Probes."""

from __future__ import annotations

from fastapi import APIRouter

from app.http.dependencies import CurrentJournal, CurrentRecommender, Follower
from app.http.problems import problem_responses
from app.http.strict_route import StrictRoute
from app.schemas.health import Live, Ready

router = APIRouter(prefix="/health", tags=["health"], route_class=StrictRoute)


@router.get(
    "/live",
    operation_id="live",
    summary="Say whether the process answers",
    response_description="The process answers.",
    responses=problem_responses(),
)
async def live() -> Live:
    """Always 200; restart the process where this does not answer."""
    return Live()


@router.get(
    "/ready",
    operation_id="ready",
    summary="Say whether a model is in service",
    response_description="A model is in service.",
    responses=problem_responses(503),
)
async def ready(
    recommender: CurrentRecommender, journal: CurrentJournal, follower: Follower
) -> Ready:
    """200 with the version in service, 503 with the reason while no usable model is loaded.

    `degraded` means that lists are answered, but events cannot be stored or read, or the model is
    not the current one, which cannot be used, or is still being verified.
    """
    troubles = [*map(str, journal.troubles), *follower.troubles]
    troubles = list(dict.fromkeys(troubles))  # reading and writing may be equal
    return Ready(
        status="degraded" if troubles else "ready",
        model_version=recommender.model.version,
        troubles=troubles,
    )
