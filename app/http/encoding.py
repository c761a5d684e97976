"""Lists as JSON, the bytes that the schemas describe.

Most lists come from one rung and have finite scores: they are a template, made once, that gets the
artists and scores filled in. Whatever else a list may be, its schema encodes it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Final

from app.http.schemas import Item, Recommendations, UserList
from app.model import Model
from app.recommender import Query, Recommendation, Source

# Dot products, and counts.
_SCORE_FORMATS: Final = {Source.ALS: "%.6f", Source.FOLD_IN: "%.6f", Source.POPULARITY: "%r"}
# Each takes about 70 bytes an item.
_KEPT_TEMPLATES: Final = 64
# Of each model; about 150 bytes each.
_KEPT_ARTISTS: Final = 2**16


def encode_list(
    model: Model, query: Query, answer: Recommendation, *, with_version: bool = True
) -> bytes:
    """Returns an answer as ``Recommendations``, or as ``UserList`` without the version."""
    scores: list[float] = answer.scores.tolist()
    # Scores descend, so the first and the last bound the others; what is filled in has none.
    is_finite = not scores or (scores[0] < math.inf and scores[-1] > -math.inf)
    if not is_finite or answer.sources.count(answer.source) < len(scores):
        return _by_schema(model, query, answer, with_version=with_version)
    values: list[bytes | float] = [b""] * (2 * len(scores) + 1)
    values[0] = b"null" if query.user_id is None else encode_basestring(query.user_id).encode()
    values[1::2] = _artists(model, answer.items.tolist())
    values[2::2] = scores
    version = model.version if with_version else None
    return _template(answer.source, query.offset, len(scores), version) % tuple(values)


def _artists(model: Model, items: list[int]) -> list[bytes]:
    """Returns ids and names as JSON.

    Those of low numbers are kept: they have the longest vectors, so most lists are made of them,
    and a plain list of them takes fewer looks into memory than any cache.
    """
    kept: list[bytes | None] = model.annex.get("artists") or model.annex.setdefault(
        "artists", [None] * min(len(model.items), _KEPT_ARTISTS)
    )
    n_kept = len(kept)
    return [(item < n_kept and kept[item]) or _encode_artist(model, item, kept) for item in items]


def _encode_artist(model: Model, item: int, kept: list[bytes | None]) -> bytes:
    artist_id = encode_basestring(model.items.id(item))
    encoded = f'"artist_id":{artist_id},"name":{encode_basestring(model.item_names[item])}'.encode()
    if item < len(kept):
        kept[item] = encoded
    return encoded


@lru_cache(maxsize=_KEPT_TEMPLATES)
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
    items = [
        Item(
            rank=rank,
            artist_id=model.items.id(item),
            name=model.item_names[item],
            score=round(score, 6) if math.isfinite(score) else None,
            source=source,
        )
        for rank, (item, score, source) in enumerate(
            zip(answer.items.tolist(), answer.scores.tolist(), answer.sources, strict=True),
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
