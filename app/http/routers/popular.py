"""The popularity ranking."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.http import answers
from app.http.dependencies import CurrentJournal, CurrentRecommender
from app.http.problems import problem_responses
from app.http.strict_route import StrictRoute
from app.schemas.popular import PopularArtists, PopularParameters

router = APIRouter(tags=["browse"], route_class=StrictRoute)


@router.get(
    "/popular",
    operation_id="popular",
    summary="List the most popular artists",
    response_description="The ranking.",
    responses=problem_responses(503),
)
async def popular(
    parameters: Annotated[PopularParameters, Query()],
    recommender: CurrentRecommender,
    journal: CurrentJournal,
) -> PopularArtists:
    """What most people listen to, or what is played most; with `days`, by the events of late."""
    if parameters.days is not None:
        return await answers.played_lately(
            recommender,
            journal,
            n=parameters.n,
            offset=parameters.offset,
            by=parameters.by,
            days=parameters.days,
        )
    return await answers.popular(
        recommender, journal, n=parameters.n, offset=parameters.offset, by=parameters.by
    )
