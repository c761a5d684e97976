"""JSON: objects on lines of their own, or in one array, as columns of text.

Both are read block by block. A broken line becomes a row whose column ``BROKEN`` has its text; a
broken array is refused, since the rest of it is unknown. Whole numbers of any size stay exact;
``1.0`` is the number 1. Of a field that an object has twice, the first counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.datasets.reading.compression import Stream
from training.datasets.reading.sources import shorten
from training.errors import DatasetError

BROKEN: Final = "\0broken"
REASON_NO_OBJECT: Final = "line is no JSON object"
_BLOCK_BYTES: Final = 2**24
_LONGEST_LINE: Final = 2**28
_MARK: Final = b"\xef\xbb\xbf"
_BEGINS: Final = re.compile(rb'\s*(?:\{\s*(?:["}]|$)|\[\s*(?:[{\]\["\d-]|$))')
_MAY_BE_LONE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPES: Final = re.compile(
    rb"\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<lone>\\u[dD][89a-fA-F]..)", re.DOTALL
)
_MOST_FIELDS: Final = 10_000
_NESTED: Final = pl.List(pl.String)
_SHOWN: Final = 200


def is_json(head: bytes) -> bool:
    """Returns whether a file begins as JSON does: with an object, or an array of them."""
    return _BEGINS.match(head.removeprefix(_MARK)) is not None


def json_frames(
    stream: Stream, shown: object, schema: Mapping[str, pl.DataType] | None = None
) -> Iterator[pl.DataFrame]:
    """Reads objects in blocks.

    Args:
        stream: uncompressed bytes.
        shown: the name of the file in messages.
        schema: the fields to read, and their types; without it, all of them, as text.

    Yields:
        Rows in the order of the file, one for each line that is not blank; with a column
        ``BROKEN``, null where the line is an object.

    Raises:
        DatasetError: an array is broken, or the file ends in the middle.
    """
    blocks = _lines(stream, shown)
    first = next(blocks, b"")
    is_array = first.lstrip().startswith(b"[")
    if first.lstrip().partition(b"\n")[0].strip() == b"{":
        raise DatasetError(
            f"{shown} is JSON over several lines; write an array of objects, or each object on a "
            "line of its own (jq -c '.[]')"
        )
    read = 0
    lines = _elements(_chain(first, blocks), shown) if is_array else _chain(first, blocks)
    for block in map(_without_lone, lines):
        found = None if schema is None else _typed(block, schema)
        if found is None:
            text, count = _cleaned(block, shown, read, is_array=is_array)
            if not count:
                continue
            found = _as_text(text, shown) if schema is None else _read(text, schema)
            if len(found) != count:
                raise DatasetError(f"{shown}: {len(found):,} of {count:,} objects were read")
        read += len(found)
        yield found


def _read(text: bytes, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    # A value of another type than that of its field is null.
    return _parsed(text, schema={**schema, BROKEN: pl.String()}, ignore_errors=True)


def _parsed(text: bytes, **options: Any) -> pl.DataFrame:
    # polars expands what begins as a compressed file does, to any size.
    return pl.read_ndjson(text if text.startswith(b"{") else b" " + text, **options)


def _typed(block: bytes, schema: Mapping[str, pl.DataType]) -> pl.DataFrame | None:
    """Returns the objects of a block; None where a line may be broken or blank."""
    try:
        found = _read(block, schema)
    except pl.exceptions.PolarsError:
        return None
    count = block.count(b"\n") + (not block.endswith(b"\n"))
    # A line that is no object is a row of nulls.
    is_null = found.select(pl.all_horizontal(pl.all().is_null()).any()).item()
    return None if len(found) != count or is_null else found


def _as_text(text: bytes, shown: object) -> pl.DataFrame:
    """Returns all fields of objects as text; a field with a nested value is a list of nothing."""
    inferred = _inferred([line for line in text.split(b"\n") if line.strip()])
    if len(inferred) > _MOST_FIELDS:
        raise DatasetError(f"{shown}: its objects have {len(inferred):,} fields; is it a table?")
    names = dict.fromkeys([*inferred, BROKEN], pl.String())
    found = _parsed(text, schema=names)
    nested = {name for name, dtype in inferred.items() if dtype.is_nested()}
    nested |= _nested_among_text(text, found, nested)
    return found.with_columns(pl.lit(None, _NESTED).alias(name) for name in sorted(nested))


def _inferred(lines: list[bytes]) -> dict[str, pl.DataType]:
    """Returns the fields of objects and their types; polars cannot join some types."""
    try:
        return dict(_parsed(b"\n".join(lines), infer_schema_length=None).schema)
    except pl.exceptions.PolarsError:
        if len(lines) == 1:
            raise
    half = len(lines) // 2
    types = _inferred(lines[:half])
    for name, dtype in _inferred(lines[half:]).items():
        if dtype.is_nested() or name not in types:
            types[name] = dtype
    return types


def _nested_among_text(text: bytes, found: pl.DataFrame, known: Set[str]) -> set[str]:
    """Returns the fields that are text in some objects, and nested in others.

    polars reads both as text, so the few lines with text that looks like JSON are read again.
    """
    names = [name for name in found.columns if name not in known and name != BROKEN]
    begins = [pl.col(name).str.contains(r"^[\[{]") for name in names]
    if not names:
        return set()
    rows = found.select(pl.any_horizontal(begins).fill_null(value=False)).to_series().arg_true()
    if rows.is_empty():
        return set()
    lines = [line for line in text.split(b"\n") if line.strip()]
    nested: set[str] = set()
    for row in rows:
        values = json.loads(lines[row])
        nested |= {name for name, value in values.items() if isinstance(value, (dict, list))}
    return nested


def _chain(first: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from blocks


def _lines(stream: Stream, shown: object) -> Iterator[bytes]:
    """Yields blocks of whole lines; the block of an array may end anywhere between tokens."""
    rest, buffer, is_first, is_array = b"", memoryview(bytearray(_BLOCK_BYTES)), True, False
    while size := stream.readinto(buffer):
        text = rest + bytes(buffer[:size])
        if is_first:
            text, is_first = text.removeprefix(_MARK), False
            is_array = text.lstrip().startswith(b"[")
        end = len(text) if is_array else text.rfind(b"\n") + 1
        if end == 0 and len(text) > _LONGEST_LINE:
            raise DatasetError(f"{shown}: a line is longer than {_LONGEST_LINE // 2**20} MiB")
        rest = text[end:]
        if end:
            yield text[:end]
    if rest.strip():
        yield rest


def _elements(blocks: Iterator[bytes], shown: object) -> Iterator[bytes]:
    """Turns an array into lines: each comma between its elements becomes a line end."""
    rest, depth, count, is_done = b"", 0, 0, False
    for block in blocks:
        if is_done:
            _refuse_more(block, shown)
            continue
        text = rest + block
        out, commas, end = _structure(text, depth)
        count += len(commas)
        if end is not None:
            _refuse_more(text[end:], shown)
            is_done, rest = True, b""
            yield bytes(out[: end - 1])
            continue
        cut = int(commas[-1]) + 1 if len(commas) else 0
        if cut:
            depth = 1
            yield bytes(out[:cut])
        # What follows the last comma is looked at again with the next block.
        rest = text[cut:]
        if len(rest) > _LONGEST_LINE:
            raise DatasetError(f"{shown}: an object is longer than {_LONGEST_LINE // 2**20} MiB")
    if not is_done:
        raise DatasetError(
            f"{shown} ends in the middle of its array, after {count:,} whole elements: "
            f"'{shorten(rest.strip()[-60:].decode(errors='replace'))}'; fetch or write it again"
        )


def _structure(text: bytes, depth: int) -> tuple[NDArray[np.uint8], NDArray[np.intp], int | None]:
    """Finds the elements of an array.

    Args:
        text: begins with the array, or with one of its elements.
        depth: 0 in the former case, 1 in the latter.

    Returns:
        The text with line ends between elements only, the places of these, and where the array
        ends, None where it does not.
    """
    marks = np.frombuffer(text.replace(b"\\\\", b"__").replace(b'\\"', b"__"), np.uint8)
    outside = (np.cumsum(marks == ord('"')) & 1) == 0
    opens = ((marks == ord("{")) | (marks == ord("["))) & outside
    closes = ((marks == ord("}")) | (marks == ord("]"))) & outside
    level = depth + np.cumsum(opens.astype(np.int32) - closes.astype(np.int32))
    ends = np.flatnonzero(closes & (level <= 0))
    end = int(ends[0]) + 1 if len(ends) else None
    commas = np.flatnonzero((marks[:end] == ord(",")) & outside[:end] & (level[:end] == 1))
    out = np.frombuffer(text, np.uint8).copy()
    out[((marks == ord("\n")) | (marks == ord("\r"))) & outside] = ord(" ")
    out[commas] = ord("\n")
    if depth == 0:
        out[int(opens.argmax())] = ord(" ")
    return out, commas, end


def _refuse_more(text: bytes, shown: object) -> None:
    if more := text.strip():
        found = shorten(more[:_SHOWN].decode(errors="replace"))
        raise DatasetError(f"{shown}: something follows the end of its array: '{found}'; remove it")


def _without_lone(block: bytes) -> bytes:
    """Returns a block with U+FFFD for each half of a surrogate pair; polars makes NUL of these."""
    if b"\\u" in block and _MAY_BE_LONE.search(block):
        return _ESCAPES.sub(lambda m: rb"\ufffd" if m["lone"] else m[0], block)
    return block


def _cleaned(block: bytes, shown: object, before: int, *, is_array: bool) -> tuple[bytes, int]:
    """Returns a block with broken lines replaced by objects that hold them, and its objects."""
    lines = [line for line in block.split(b"\n") if line.strip()]
    if not lines or _is_readable(block):
        return block, len(lines)
    lines = [line.decode(errors="replace").encode() for line in lines]
    for place in _broken(lines, 0):
        text = lines[place].decode()
        row = before + place + 1
        if is_array:
            raise DatasetError(
                f"{shown}: element {row:,} of its array is no JSON object: '{shorten(text)}'"
            )
        if not block.endswith(b"\n") and place == len(lines) - 1:
            raise DatasetError(
                f"{shown} ends in the middle of row {row:,}: '{shorten(text)}'; fetch or write it "
                "again, or remove that line"
            )
        lines[place] = json.dumps({BROKEN: text.strip()[:_SHOWN]}).encode()
    return b"\n".join(lines) + b"\n", len(lines)


def _broken(lines: list[bytes], first: int) -> list[int]:
    """Returns the positions of broken lines, by halving."""
    if _is_readable(b"\n".join(lines)):
        return []
    if len(lines) == 1:
        return [first]
    half = len(lines) // 2
    return _broken(lines[:half], first) + _broken(lines[half:], first + half)


def _is_readable(text: bytes) -> bool:
    try:
        _parsed(text, schema={BROKEN: pl.String})
    except pl.exceptions.PolarsError:
        return False
    return True


def json_scan(stream: Stream, shown: object, place: Path) -> pl.LazyFrame:
    """Reads a file of JSON by way of temporary files.

    Args:
        stream: uncompressed bytes.
        shown: the name of the file in messages.
        place: a new folder for the temporary files.

    Returns:
        All fields as text, null where an object lacks one; a nested field has no text.

    Raises:
        DatasetError: see ``json_frames``; or a file holds no object.
    """
    place.mkdir()
    scans: list[pl.LazyFrame] = []
    nested: set[str] = set()
    for number, frame in enumerate(json_frames(stream, shown)):
        here = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
        nested.update(here)
        file = place / f"{number}.parquet"
        flat = frame.with_columns(pl.lit(None, pl.String).alias(name) for name in here)
        flat.write_parquet(file, compression="lz4")
        scans.append(pl.scan_parquet(file, glob=False))
    if not scans:
        raise DatasetError(f"{shown} is empty: it holds no JSON object")
    return pl.concat(scans, how="diagonal").with_columns(
        pl.lit(None, _NESTED).alias(name) for name in sorted(nested)
    )
