"""Mapping one array: a ``.npy`` file whose header, size and shape are those of the manifest."""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from app.artifacts.format import MANIFEST, ArraySpec, array_path
from app.artifacts.regular import open_regular
from app.errors import InvalidArtifact


def map_array(
    folder: Path, name: str, spec: ArraySpec, entry: Mapping[str, Any] | None
) -> NDArray[Any]:
    """Maps an array, read-only.

    Args:
        folder: of the version.
        name: of the array.
        spec: what the format says of it.
        entry: what the manifest says of it; None where it says nothing.

    Raises:
        InvalidArtifact: the file does not match the manifest or the format.
    """
    path = array_path(folder, name)
    if entry is None:
        raise InvalidArtifact(folder / MANIFEST, expected=f"an entry for {name}", found="none")
    try:
        with open_regular(path, folder.parent) as file:
            return _map(path, file, spec, entry)
    except OSError as error:
        raise InvalidArtifact(
            path, expected="a readable file", found=error.strerror or "an error"
        ) from error


def _map(path: Path, file: BinaryIO, spec: ArraySpec, entry: Mapping[str, Any]) -> NDArray[Any]:
    size = file.seek(0, 2)
    if size != entry["bytes"]:
        raise InvalidArtifact(path, expected=f"{entry['bytes']} bytes", found=f"{size} bytes")
    file.seek(0)
    try:
        shape, in_columns, dtype = _read_header(file)
    except Exception as error:  # parsing a damaged header raises nearly anything
        raise InvalidArtifact(path, expected="a .npy array", found=str(error)) from error
    for expected, place in ((spec.dtype, "the format"), (entry.get("dtype"), "the manifest")):
        if dtype.str != expected:
            raise InvalidArtifact(path, expected=f"dtype {expected} as in {place}", found=dtype.str)
    if list(shape) != entry.get("shape"):
        raise InvalidArtifact(path, expected=f"shape {entry.get('shape')}", found=str(list(shape)))
    if in_columns:
        raise InvalidArtifact(path, expected="row-major order", found="column-major order")
    offset, n_values = file.tell(), math.prod(shape)
    if size != offset + n_values * dtype.itemsize:
        raise InvalidArtifact(
            path, expected=f"{n_values} values", found=f"{size - offset} bytes of values"
        )
    if not n_values:  # an empty array has nothing to map
        return np.zeros(shape, dtype)
    mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, dtype, count=n_values, offset=offset).reshape(shape)


def _read_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    # Not np.load, which would also open a zip file or look for a pickle.
    version = np.lib.format.read_magic(file)
    if version != (1, 0):  # which has a header of 64 kB at most
        raise ValueError(f"version {version} of the format of numpy, not (1, 0)")
    shape, in_columns, dtype = np.lib.format.read_array_header_1_0(file)
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"a shape of {shape}")
    # A single row or column is in both orders; numpy writes False for it.
    return shape, in_columns and len(shape) > 1, dtype
