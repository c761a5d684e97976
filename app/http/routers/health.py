"""Probes."""

from __future__ import annotations

from fastapi import APIRouter

from app.http.dependencies import CurrentJournal, CurrentRecommender
from app.http.problems import problem_responses
from app.http.strict_route import StrictRoute
from app.schemas.health import Live, Ready

router = APIRouter(prefix="/health", tags=["health"], route_class=StrictRoute)


# Load balancers like to ask with HEAD; it is no operation of its own.
@router.head("/live", include_in_schema=False)
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


@router.head("/ready", include_in_schema=False)
@router.get(
    "/ready",
    operation_id="ready",
    summary="Say whether a model is in service",
    response_description="A model is in service.",
    responses=problem_responses(503),
)
async def ready(recommender: CurrentRecommender, journal: CurrentJournal) -> Ready:
    """200 with the version in service, 503 with a hint while no usable model is there.

    `degraded` says that lists are answered, while events cannot be stored or read.
    """
    troubles = list(dict.fromkeys(map(str, journal.troubles)))  # reading and writing say the same
    return Ready(
        status="degraded" if troubles else "ready",
        model_version=recommender.model.version,
        troubles=troubles,
    )
