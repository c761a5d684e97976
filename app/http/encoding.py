"""Lists as JSON, the bytes that the schemas describe.

Most lists come from one rung and have finite scores: they are a template, made once, that gets the
artists and scores filled in. Whatever else a list may be, its schema encodes it.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Final
from weakref import WeakKeyDictionary

from app.http.schemas import Item, Recommendations, UserList
from app.id_map import StringTable
from app.model import Model
from app.recommender import Query, Recommendation, Source

_quoted = json.JSONEncoder(ensure_ascii=False).encode
# Dot products, and counts.
_SCORE_FORMATS: Final = {Source.ALS: "%.6f", Source.FOLD_IN: "%.6f", Source.POPULARITY: "%.1f"}
# Each takes about 70 bytes an item.
_KEPT_TEMPLATES: Final = 64
# Of each model; about 150 bytes each.
_KEPT_ARTISTS: Final = 2**16


def encode_list(
    model: Model, query: Query, answer: Recommendation, *, with_version: bool = True
) -> bytes:
    """Returns an answer as ``Recommendations``, or as ``UserList`` without the version."""
    scores: list[float] = answer.scores.tolist()
    if not _is_plain(answer, scores):
        return _by_schema(model, query, answer, with_version=with_version)
    artists = _artists_of.get(model) or _keep_artists_of(model)
    kept, n_kept, encode = artists.kept, len(artists.kept), artists.encode
    values: list[bytes | float] = [b"null" if query.user_id is None else _json(query.user_id)]
    if with_version:
        values.append(model.version.encode())
    for item, score in zip(answer.items.tolist(), scores, strict=True):
        values += (item < n_kept and kept[item]) or encode(item), score
    return _template(answer.source, query.offset, len(scores), with_version) % tuple(values)


def _is_plain(answer: Recommendation, scores: list[float]) -> bool:
    # Scores descend, so the first and the last bound the others; what is filled in has none.
    is_finite = not scores or (scores[0] < math.inf and scores[-1] > -math.inf)
    return is_finite and answer.sources.count(answer.source) == len(scores)


def _json(text: str) -> bytes:
    return _quoted(text).encode()


class _Artists:
    """Artists as JSON, kept once encoded.

    Only those with low numbers are kept: they have the longest vectors, so most lists are made of
    them, and a plain list of them takes fewer looks into memory than any cache.
    """

    def __init__(self, ids: StringTable, names: StringTable) -> None:
        # Not the model itself, which would then outlive its service.
        self._ids, self._names = ids, names
        self.kept: list[bytes | None] = [None] * min(len(ids), _KEPT_ARTISTS)

    def encode(self, item: int) -> bytes:
        """Returns an artist's id and name as JSON."""
        encoded = b'"artist_id":%b,"name":%b' % (_json(self._ids[item]), _json(self._names[item]))
        if item < len(self.kept):
            self.kept[item] = encoded
        return encoded


_artists_of: Final[WeakKeyDictionary[Model, _Artists]] = WeakKeyDictionary()


def _keep_artists_of(model: Model) -> _Artists:
    return _artists_of.setdefault(model, _Artists(model.items.strings, model.item_names))


@lru_cache(maxsize=_KEPT_TEMPLATES)
def _template(source: Source, offset: int, length: int, with_version: bool) -> bytes:
    score = _SCORE_FORMATS[source]
    items = ",".join(
        f'{{"rank":{rank},%b,"score":{score},"source":"{source}"}}'
        for rank in range(offset + 1, offset + length + 1)
    )
    version = '"model_version":"%b",' if with_version else ""
    return f'{{"user_id":%b,"source":"{source}",{version}"items":[{items}]}}'.encode()


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
