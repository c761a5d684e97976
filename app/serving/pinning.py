"""Pinning: the one situation that a request sees from its beginning to its end."""

from __future__ import annotations

from app.recommend.availability import Availability
from app.recommend.ladder import Recommender
from app.serving.journal.journal import Journal
from app.serving.model_follower import ModelFollower


async def pin(follower: ModelFollower, journal: Journal) -> Recommender:
    """Returns the recommender in service, with the current availability of artists.

    While the store cannot be read, it is the availability that was read last.

    Raises:
        ModelUnavailable: no model is in service.
    """
    recommender = follower.recommender
    if recommender.availability.version < journal.stamps.availability[0]:
        return await _renew_availability(follower, recommender, journal)
    return recommender


async def _renew_availability(
    follower: ModelFollower, recommender: Recommender, journal: Journal
) -> Recommender:
    version, unavailable = await journal.unavailable_artists()
    if version <= recommender.availability.version:
        return recommender
    availability = Availability.of(version, unavailable, recommender.model.items)
    return follower.in_service.update(
        recommender, lambda situation: situation.with_availability(availability)
    )
