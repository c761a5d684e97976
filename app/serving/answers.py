"""Answers: from queries to the bytes of lists, at once or by the batcher."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b

from app.errors import UnknownUser
from app.recommend.ladder import Recommender
from app.recommend.query import Query
from app.serving.batcher import Batcher
from app.serving.connection import Receive, unless_gone
from app.serving.encoding import encode_list
from app.serving.journal.journal import Journal


async def recommend(
    recommender: Recommender, journal: Journal, batcher: Batcher, query: Query, receive: Receive
) -> bytes:
    """Answers one query with the JSON of ``Recommendations``, the user's events included.

    Raises:
        UnknownUser: strategy ``als`` for a user without usable history.
        Overloaded: the answer needs scoring, and too many requests wait for that.
        ClientGone: the client has closed its connection.
    """
    user_id, stamps = query.user_id, journal.stamps
    if query.explore and query.seed is None:
        query.seed = _seed_of_the_day(user_id, recommender.model.version)
    if user_id is not None and stamps.is_touched(user_id):
        query.activity = await journal.activity_of(user_id, recommender.model)
    answer = recommender.recommend_quickly(query)
    if answer is not None:
        return encode_list(recommender.model, query, answer)
    encode = partial(encode_list, recommender.model)
    (encoded,) = await unless_gone(batcher.answer(recommender, [query], encode), receive)
    return _unless_refused(encoded)


async def recommend_batch(
    recommender: Recommender,
    journal: Journal,
    batcher: Batcher,
    queries: Sequence[Query],
    receive: Receive,
) -> list[bytes]:
    """Answers many queries, each as if alone, with the JSON of ``BatchRecommendations``.

    Returns:
        The JSON in pieces: it may have ten megabytes.

    Raises:
        UnknownUser: strategy ``als`` for a user without usable history.
        Overloaded: too many requests wait for scoring.
        ClientGone: the client has closed its connection.
    """
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
    lists = await unless_gone(batcher.answer(recommender, queries, encode), receive)
    pieces = [b'{"model_version":"%b","results":[' % recommender.model.version.encode()]
    for one in lists:
        pieces += _unless_refused(one), b","
    pieces[-1] = b"]}"
    return pieces


def _seed_of_the_day(user_id: str | None, version: str) -> int:
    """Returns the default seed of exploration: the same for a user and a version all day (UTC)."""
    today = datetime.now(UTC).date().isoformat()
    digest = blake2b("\0".join([user_id or "", version, today]).encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def _unless_refused(encoded: bytes | UnknownUser) -> bytes:
    if isinstance(encoded, UnknownUser):
        raise encoded
    return encoded
