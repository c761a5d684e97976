"""Lists as JSON: the same bytes as the schemas would write.

Most lists come from one rung and have finite scores. They are written by a template that is made
once and gets artists and scores filled in; all other lists are encoded by their schema.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Final

from app.model.id_map import ItemCache
from app.model.model import Model
from app.recommend.newcomers import Newcomers
from app.recommend.query import Query, Recommendation, Source
from app.schemas.lists import Item, Recommendations, UserList

# Dot products have six decimals, counts all digits.
_SCORE_FORMATS: Final = {Source.ALS: "%.6f", Source.FOLD_IN: "%.6f", Source.POPULARITY: "%r"}
# A template takes about 70 bytes for each item.
_MOST_TEMPLATES: Final = 64
_MOST_NEWCOMERS: Final = 4096


def encode_list(
    model: Model, query: Query, answer: Recommendation, *, with_version: bool = True
) -> bytes:
    """Returns an answer as ``Recommendations``, or as ``UserList`` without the version."""
    scores = answer.scores
    # Scores descend, so the first and the last bound the others. Items of another source have NaN.
    is_finite = not scores or (scores[0] < math.inf and scores[-1] > -math.inf)
    if not is_finite or answer.sources.count(answer.source) < len(scores):
        return _by_schema(model, query, answer, with_version=with_version)
    values: list[bytes | float] = [b""] * (2 * len(scores) + 1)
    values[0] = b"null" if query.user_id is None else encode_basestring(query.user_id).encode()
    artists: ItemCache[bytes] = model.annex.get("artists") or _artists_of(model)
    if answer.newcomers is None:
        values[1::2] = artists.of(answer.items)
    else:
        values[1::2] = _with_newcomers(artists, len(model.items), answer.items, answer.newcomers)
    values[2::2] = scores
    version = model.version if with_version else None
    return _template(answer.source, query.offset, len(scores), version) % tuple(values)


def _artists_of(model: Model) -> ItemCache[bytes]:
    """Returns ids and names as JSON, by item index."""
    # The cache must not refer to the model, which would then stay in memory after its service.
    ids, names = model.items, model.item_names

    def artist(item: int) -> bytes:
        return _artist(ids.id(item), names[item])

    artists: ItemCache[bytes] = model.annex.setdefault("artists", ItemCache(artist, len(ids)))
    return artists


def _artist(artist_id: str, name: str) -> bytes:
    return f'"artist_id":{encode_basestring(artist_id)},"name":{encode_basestring(name)}'.encode()


_newcomer = lru_cache(maxsize=_MOST_NEWCOMERS)(_artist)


def _with_newcomers(
    artists: ItemCache[bytes], n_items: int, items: Sequence[int], newcomers: Newcomers
) -> list[bytes]:
    known = iter(artists.of([item for item in items if item < n_items]))
    found = []
    for item in items:
        if item < n_items:
            found.append(next(known))
        else:
            newcomer = newcomers.artist(item)
            found.append(_newcomer(newcomer.artist_id, newcomer.name))
    return found


@lru_cache(maxsize=_MOST_TEMPLATES)
def _template(source: Source, offset: int, length: int, version: str | None) -> bytes:
    score = _SCORE_FORMATS[source]
    items = ",".join(
        f'{{"rank":{rank},%b,"score":{score},"source":"{source}"}}'
        for rank in range(offset + 1, offset + length + 1)
    )
    of_version = "" if version is None else f'"model_version":{encode_basestring(version)},'
    of_version = of_version.replace("%", "%%")
    return f'{{"user_id":%b,"source":"{source}",{of_version}"items":[{items}]}}'.encode()


def _by_schema(model: Model, query: Query, answer: Recommendation, *, with_version: bool) -> bytes:
    n_items, newcomers = len(model.items), answer.newcomers

    def artist(item: int) -> dict[str, str]:
        if newcomers is None or item < n_items:
            return {"artist_id": model.items.id(item), "name": model.item_names[item]}
        newcomer = newcomers.artist(item)
        return {"artist_id": newcomer.artist_id, "name": newcomer.name}

    items = [
        Item(
            **artist(item),
            rank=rank,
            score=round(score, 6) if math.isfinite(score) else None,
            source=source,
        )
        for rank, (item, score, source) in enumerate(
            zip(answer.items, answer.scores, answer.sources, strict=True),
            start=query.offset + 1,
        )
    ]
    owner = {"user_id": query.user_id, "source": answer.source, "items": items}
    schema = (
        Recommendations.model_validate(owner | {"model_version": model.version})
        if with_version
        else UserList.model_validate(owner)
    )
    return schema.model_dump_json().encode()
