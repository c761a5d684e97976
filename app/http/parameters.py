"""Strict reading of a request's path and query."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Annotated, Any, Final, get_origin
from urllib.parse import unquote_to_bytes

from fastapi import Path
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel

from app.errors import InvalidId
from app.schemas.primitives import ARTIST_ID_EXAMPLE, MAX_IDS, USER_ID_EXAMPLE, check_id
from app.schemas.problem import MOST_VIOLATIONS

# No call takes more: one parameter may be given MAX_IDS times, and the others once.
_MOST_PARAMETERS: Final = 2 * MAX_IDS
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


def decode(text: str) -> str:
    """Decodes percent-encoded text.

    Raises:
        InvalidId: an escape is malformed, or the bytes are not UTF-8.
    """
    if broken := _BROKEN_ESCAPE.search(text):
        raise InvalidId(
            f"the % at character {broken.start()} starts no escape like %2F; write it as %25"
        )
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError as error:
        raise InvalidId(
            f"byte {error.start} after percent-decoding is not UTF-8; encode the id as UTF-8 first"
        ) from error


def _decode_id(segment: str) -> str:
    return check_id(decode(segment))


ArtistIdInPath = Annotated[
    str,
    Path(
        description="The artist's id, percent-encoded UTF-8 of at most 256 bytes (`/` as `%2F`; "
        "`+` is a plus).",
        examples=[ARTIST_ID_EXAMPLE],
    ),
    AfterValidator(_decode_id),
]
UserIdInPath = Annotated[
    str,
    Path(
        description="The user's id, percent-encoded UTF-8 of at most 256 bytes (`/` as `%2F`; `+` "
        "is a plus). An id that a path cannot carry goes in the body of `POST /recommend`.",
        examples=[USER_ID_EXAMPLE],
    ),
    AfterValidator(_decode_id),
]


def check_query(query_string: str, repeatable: Mapping[str, bool]) -> None:
    """Refuses names and encodings that a lenient parser would ignore or guess at.

    Args:
        query_string: the encoded query, without the question mark.
        repeatable: the known parameters, and whether each may be given more than once.

    Raises:
        RequestValidationError: an unknown name, a repeated one, or broken encoding.
    """
    if (count := query_string.count("&") + 1) > _MOST_PARAMETERS:
        message = f"has {count:,} parameters, more than {_MOST_PARAMETERS:,}"
        raise RequestValidationError([{"loc": ("query",), "msg": message, "type": "query"}])
    errors = list(islice(_query_errors(query_string, repeatable), MOST_VIOLATIONS))
    if errors:
        raise RequestValidationError(
            [{"loc": ("query", name), "msg": message, "type": "query"} for name, message in errors]
        )


def repeatable_parameters(model: type[BaseModel]) -> dict[str, bool]:
    """Returns the names of a query's parameters, and whether each may be given more than once."""
    return {name: may_repeat(info.annotation) for name, info in model.model_fields.items()}


def may_repeat(annotation: Any) -> bool:
    """Returns whether a parameter of a type may be given more than once."""
    return get_origin(annotation) is list


def _query_errors(query_string: str, repeatable: Mapping[str, bool]) -> Iterator[tuple[str, str]]:
    counts: Counter[str] = Counter()
    for pair in filter(None, query_string.split("&")):
        encoded_name, _, value = pair.replace("+", " ").partition("=")
        try:
            name = decode(encoded_name)
            counts[name] += 1
            decode(value)
        except InvalidId as error:
            yield encoded_name, str(error)
    for name, count in counts.items():
        if name not in repeatable:
            known = f"known: {', '.join(repeatable)}" if repeatable else "this call takes none"
            yield name, f"is not a parameter of this call; {known}"
        elif count > 1 and not repeatable[name]:
            yield name, f"is given {count} times; give it once"
