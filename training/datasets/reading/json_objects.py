"""JSON files that hold one array of objects, of which some fields are read."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from training.datasets.reading.sources import shorten
from training.errors import DatasetError

# polars reads this for an escape that is no character, such as half of a pair.
NO_CHARACTER: Final = "\0"
_SPACE: Final = b" \t\r\n"
_MARK: Final = b"\xef\xbb\xbf"


def read_objects(text: bytes, fields: Sequence[str], shown: str) -> pl.DataFrame:
    """Reads the objects of a JSON array.

    Args:
        text: the content of a file.
        fields: names of fields that hold text, numbers or truth values.
        shown: the place of the file, for messages.

    Returns:
        Each field as a String column, by object; null where it is missing, null, or of another
        type. An element that is no object is a row of nulls.

    Raises:
        DatasetError: it is no JSON, or no array.
    """
    if text.removeprefix(_MARK).lstrip(_SPACE)[:1] == b"[":
        try:
            return pl.read_json(io.BytesIO(text), schema=dict.fromkeys(fields, pl.String))
        except pl.exceptions.PolarsError:
            pass  # one odd value is enough for that; the slow way knows the place
    return _read_slowly(text, fields, shown)


def _read_slowly(text: bytes, fields: Sequence[str], shown: str) -> pl.DataFrame:
    if not text.strip(_SPACE):
        raise DatasetError(f"{shown} is empty")
    try:
        content = json.loads(
            text.decode(json.detect_encoding(text), errors="replace"),
            parse_int=str,
            parse_float=str,
            parse_constant=str,
            # Of two equal keys the first counts, as for polars.
            object_pairs_hook=lambda pairs: dict(reversed(pairs)),
        )
    except json.JSONDecodeError as error:
        end = error.doc.rstrip()
        if error.pos >= len(end) or error.msg.startswith("Unterminated"):
            raise DatasetError(
                f"{shown}: the JSON ends in the middle, in line {error.lineno:,}, after "
                f"'{shorten(end[-40:])}'; was it copied or downloaded completely?"
            ) from None
        raise DatasetError(
            f"{shown} is no JSON: line {error.lineno:,}, column {error.colno:,}, at "
            f"'{shorten(error.doc[error.pos : error.pos + 40])}' ({error.msg})"
        ) from None
    except RecursionError:
        raise DatasetError(f"{shown} is no JSON array of plays: it is nested too deep") from None
    if not isinstance(content, list):
        kind = "object" if isinstance(content, dict) else "value"
        raise DatasetError(f"{shown} holds one JSON {kind}; expected an array of objects, [{{…}}]")
    columns = {
        field: [_text(one.get(field)) if isinstance(one, dict) else None for one in content]
        for field in fields
    }
    return pl.DataFrame(columns, schema=dict.fromkeys(fields, pl.String))


def _text(value: Any) -> str | None:
    """Returns a value as polars writes it; half of a pair becomes U+FFFD."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return None
