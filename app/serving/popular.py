"""The ranking of popular artists, from the training data or from recent events."""

from __future__ import annotations

from app.recommend.ladder import Recommender
from app.recommend.popularity import PopularityRanking
from app.recommend.query import PopularityBy
from app.schemas.popular import PopularArtists, PopularItem
from app.serving.journal.journal import Journal


def popular_artists(
    recommender: Recommender, *, n: int, offset: int, by: PopularityBy
) -> PopularArtists:
    """Returns a part of the popularity ranking."""
    model = recommender.model
    items = PopularityRanking(recommender.situation, by).page(n, offset)
    return PopularArtists(
        model_version=model.version,
        by=by,
        days=None,
        items=[
            PopularItem(
                rank=rank,
                artist_id=model.items.id(item),
                name=model.item_names[item],
                listeners=int(model.popularity.listeners[item]),
                plays=float(model.popularity.plays[item]),
            )
            for rank, item in enumerate(items.tolist(), start=offset + 1)
        ],
    )


async def played_lately(
    recommender: Recommender,
    journal: Journal,
    *,
    n: int,
    offset: int,
    by: PopularityBy,
    days: float,
) -> PopularArtists:
    """Returns a part of the ranking of the artists that were played in the last days.

    Raises:
        StoreUnavailable: the events cannot be read.
        Overloaded: too many other rankings are being counted.
    """
    model, gone = recommender.model, recommender.availability.artists
    limit = offset + n + len(gone)
    played = await journal.played_in_days(days, by_plays=by is PopularityBy.PLAYS, limit=limit)
    available = [artist for artist in played if artist.artist_id not in gone]
    items = []
    for rank, artist in enumerate(available[offset : offset + n], start=offset + 1):
        item = model.items.index(artist.artist_id)
        name = artist.name if item is None else model.item_names[item]
        items.append(
            PopularItem(
                rank=rank,
                artist_id=artist.artist_id,
                name=artist.artist_id if name is None else name,
                listeners=artist.listeners,
                plays=artist.plays,
            )
        )
    return PopularArtists(model_version=model.version, by=by, days=days, items=items)
