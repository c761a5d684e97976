"""The availability of an artist."""

from __future__ import annotations

from fastapi import APIRouter

from app.http.dependencies import CurrentJournal
from app.http.parameters import ArtistIdInPath
from app.http.problems import problem_responses
from app.http.strict_route import StrictRoute
from app.schemas.artists import Availability, AvailabilityBody

router = APIRouter(
    prefix="/artists",
    tags=["artists"],
    route_class=StrictRoute,
)


@router.put(
    "/{artist_id}",
    operation_id="set_artist",
    summary="Take an artist out of all lists, or back into them",
    response_description="What holds from now on.",
    responses=problem_responses(413, 415, 503),
)
async def set_artist(
    artist_id: ArtistIdInPath, body: AvailabilityBody, journal: CurrentJournal
) -> Availability:
    """Takes effect with the next request on this host, within a second on others, for any id.

    An artist that is not available is in no list and no ranking, whatever a request asks for. Its
    plays go on counting for similar artists.
    """
    await journal.set_available(artist_id, is_available=body.available)
    return Availability(artist_id=artist_id, available=body.available)
