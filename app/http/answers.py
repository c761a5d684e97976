"""From queries to the bytes of answers, at once or by the batcher."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping, Sequence
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from typing import Any, Final, TypeAlias, TypeVar, cast

from app.assortment import Assortment
from app.errors import UnknownUser
from app.http.batcher import Batcher
from app.http.encoding import encode_list
from app.recommender import PopularityBy, Query, Recommender
from app.schemas.popular import PopularArtists, PopularItem
from app.serving.journal.journal import Journal

_WATCH_AFTER_SECONDS: Final = 0.05

T = TypeVar("T")
# What ASGI hands over to read a request's messages with.
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


async def recommend(
    recommender: Recommender, journal: Journal, batcher: Batcher, query: Query, receive: Receive
) -> bytes:
    """Answers one query with the JSON of ``Recommendations``, the user's events included.

    Raises:
        UnknownUser: strategy ``als`` for somebody without usable history.
        Overloaded: it takes scoring, and too many are waiting for that.
        ClientGone: the client has closed its connection meanwhile.
    """
    user_id, stamps = query.user_id, journal.stamps
    if query.explore and query.seed is None:
        query.seed = _seed_of_the_day(user_id, recommender.model.version)
    if recommender.assortment.version < stamps.assortment[0]:
        await restock(recommender, journal)
    if user_id is not None and stamps.is_touched(user_id):
        query.activity = await journal.activity_of(user_id, recommender.model)
    answer = recommender.recommend_quickly(query)
    if answer is not None:
        return encode_list(recommender.model, query, answer)
    encode = partial(encode_list, recommender.model)
    (encoded,) = await _unless_gone(batcher.answer(recommender, [query], encode), receive)
    return _unless_refused(encoded)


async def recommend_batch(
    recommender: Recommender,
    journal: Journal,
    batcher: Batcher,
    queries: Sequence[Query],
    receive: Receive,
) -> bytes:
    """Answers many queries, each as alone, with the JSON of ``BatchRecommendations``.

    Raises:
        UnknownUser: strategy ``als`` for somebody without usable history.
        Overloaded: too many are waiting.
        ClientGone: the client has closed its connection meanwhile.
    """
    if recommender.assortment.version < journal.stamps.assortment[0]:
        await restock(recommender, journal)
    for query in queries:
        if query.explore and query.seed is None:
            query.seed = _seed_of_the_day(query.user_id, recommender.model.version)
    touched = [
        query
        for query in queries
        if query.user_id is not None and journal.stamps.is_touched(query.user_id)
    ]
    activities = await journal.activities_of(
        [str(query.user_id) for query in touched], recommender.model
    )
    for query, activity in zip(touched, activities, strict=True):
        query.activity = activity
    encode = partial(encode_list, recommender.model, with_version=False)
    lists = await _unless_gone(batcher.answer(recommender, queries, encode), receive)
    results = b",".join(map(_unless_refused, lists))
    return b'{"model_version":"%b","results":[%b]}' % (recommender.model.version.encode(), results)


async def restock(recommender: Recommender, journal: Journal) -> None:
    """Brings what is available up to date, as far as it is known where the store is away."""
    version, unavailable = await journal.unavailable_artists()
    if version > recommender.assortment.version:
        recommender.assortment = Assortment.of(version, unavailable, recommender.model.items)


async def popular(
    recommender: Recommender, journal: Journal, *, n: int, offset: int, by: PopularityBy
) -> PopularArtists:
    """Returns a part of the popularity ranking."""
    if recommender.assortment.version < journal.stamps.assortment[0]:
        await restock(recommender, journal)
    model = recommender.model
    ranking = Recommender(model, popularity_by=by)
    ranking.assortment = recommender.assortment
    items = ranking.popular(n, offset)
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
    """Returns a part of the ranking of what was played in the last days.

    Raises:
        StoreUnavailable: the events cannot be read.
    """
    if recommender.assortment.version < journal.stamps.assortment[0]:
        await restock(recommender, journal)
    model, gone = recommender.model, recommender.assortment.artists
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


def _seed_of_the_day(user_id: str | None, version: str) -> int:
    """Returns what makes a user explore the same all day, and another one something else."""
    today = datetime.now(UTC).date().isoformat()
    digest = blake2b("\0".join([user_id or "", version, today]).encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def _unless_refused(encoded: bytes | UnknownUser) -> bytes:
    if isinstance(encoded, UnknownUser):
        raise encoded
    return encoded


async def _unless_gone(work: Coroutine[Any, Any, T], receive: Receive) -> T:
    """Returns what ``work`` returns; cancels it when the client closes the connection."""
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    watching: asyncio.Task[None] | None = None
    is_gone = False

    def leave(watching: asyncio.Task[None]) -> None:
        nonlocal is_gone
        if watching.exception() is None:  # else a body was refused that nobody has asked for
            is_gone = True
            task.cancel()

    def watch() -> None:
        nonlocal watching
        watching = asyncio.ensure_future(_until_gone(receive))
        watching.add_done_callback(leave)

    # Most answers are there before watching would be worth a task of its own.
    timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_SECONDS, watch)
    try:
        return await work
    except asyncio.CancelledError:
        if is_gone and task.uncancel() == 0:
            raise ClientGone from None
        raise
    finally:
        timer.cancel()
        if watching is not None:
            watching.remove_done_callback(leave)
            watching.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
