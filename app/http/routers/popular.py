"""The popularity ranking."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.http.dependencies import CurrentJournal, PinnedRecommender
from app.http.problems import problem_responses
from app.http.strict_route import StrictRoute
from app.schemas.popular import PopularArtists, PopularParameters
from app.serving.popular import played_lately, popular_artists

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
    recommender: PinnedRecommender,
    journal: CurrentJournal,
) -> PopularArtists:
    """The artists with most listeners, or most plays; with `days`, counted from recent events."""
    if parameters.days is not None:
        return await played_lately(
            recommender,
            journal,
            n=parameters.n,
            offset=parameters.offset,
            by=parameters.by,
            days=parameters.days,
        )
    return popular_artists(recommender, n=parameters.n, offset=parameters.offset, by=parameters.by)
