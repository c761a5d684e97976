"""Damages to published models, by a seeded generator: what disks, tools and attackers may do.

Each damage is a function of the models folder, a version in it and a random generator; it returns
the version that it damaged, whose name may be another one. ``KINDS`` names them all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.artifacts.format import ARRAYS, MANIFEST
from app.artifacts.manifest import version_of

Rng = np.random.Generator
Damage = Callable[[Path, str, Rng], str]
Change = Callable[[Any, Rng], Any]
# What a pointer or a file must never give away.
SECRET: Final = "TOP-SECRET-CONTENT"  # noqa: S105 - it is looked for where it may not be
# A version that is nowhere.
MISSING: Final = "20200101T000000Z-00000000"
_HUGE: Final = 2**40


def flip_a_bit(models: Path, version: str, rng: Rng) -> str:
    """Flips one bit of one file."""
    path = _file(models / version, rng)
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)
    return version


def truncate(models: Path, version: str, rng: Rng) -> str:
    """Cuts one file anywhere."""
    path = _file(models / version, rng)
    os.truncate(path, int(rng.integers(path.stat().st_size)))
    return version


def overwrite_in_place(models: Path, version: str, rng: Rng) -> str:
    """Writes random bytes over the values of one array; its size stays."""
    path = _array_file(models / version, rng)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(min(128, size - 1))
        file.write(rng.bytes(size - file.tell()))
    return version


def truncate_an_array(models: Path, version: str, rng: Rng) -> str:
    """Cuts an array anywhere, as a full disk or ``rsync --inplace`` does."""
    path = _array_file(models / version, rng)
    os.truncate(path, int(rng.integers(path.stat().st_size)))
    return version


def write_nonsense(models: Path, version: str, rng: Rng) -> str:
    """Changes values of an array, with the right checksums and the right name."""
    there = [name for name in sorted(_NONSENSE) if (models / version / f"{name}.npy").exists()]
    name = str(rng.choice(there))
    changes = _NONSENSE[name]
    change = changes[rng.integers(len(changes))]
    path = models / version / f"{name}.npy"
    array = change(np.load(path), rng)
    with path.open("wb") as file:
        np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
    return with_manifest(models, version, lambda manifest: _describe(manifest, name, path, array))


def write_a_nonsense_manifest(models: Path, version: str, rng: Rng) -> str:
    """Changes the manifest, with the right name."""
    manifest = json.loads((models / version / MANIFEST).read_bytes())
    fitting = [entry for entry in _MANIFEST_NONSENSE if _is_relied_on(entry[0], manifest)]
    key, values = fitting[rng.integers(len(fitting))]
    value = values[rng.integers(len(values))]

    def change(manifest: dict[str, Any]) -> None:
        place: Any = manifest
        *path, last = _steps(key)
        for part in path:
            place = place[part]
        if value is _MISSING:
            place.pop(last)
        else:
            place[last] = value

    return with_manifest(models, version, change)


def _steps(key: str) -> list[Any]:
    """Returns the steps of a path in JSON; numbers are places in a list."""
    return [int(step) if step.isdigit() else step for step in key.split("/")]


def _is_relied_on(key: str, manifest: Mapping[str, Any]) -> bool:
    """Says whether a reader of a manifest needs what a path leads to."""
    first, *rest = _steps(key)
    if first == "blocks":
        blocks = manifest.get("blocks", ())
        return bool(blocks) and (not rest or rest[0] < len(blocks))
    # Format 2 says how to fold in by block.
    return first not in ("parameters", "weighting") or "blocks" not in manifest


def place_a_special_file(models: Path, version: str, rng: Rng) -> str:
    """Puts something in the place of a file that is none, or leads elsewhere."""
    path = _file(models / version, rng)
    path.unlink()
    _special(path, rng)
    return version


def link_the_folder(models: Path, version: str, _rng: Rng) -> str:
    """Puts a link in the place of the folder, which leads out of the models folder."""
    elsewhere = models.parent / "elsewhere" / version
    shutil.rmtree(elsewhere, ignore_errors=True)
    elsewhere.parent.mkdir(exist_ok=True)
    (models / version).rename(elsewhere)
    (models / version).symlink_to(elsewhere)
    return version


def damage_the_pointer(models: Path, version: str, rng: Rng) -> str:
    """Puts something else in the place of the pointer."""
    pointer = models / "current"
    remove(pointer)
    contents = (
        b"",
        f"{SECRET}\n".encode(),
        f"../{version}\n".encode(),
        f"{version}\n{SECRET}\x1b[2J\n".encode(),
        rng.bytes(150),
        b"x" * 100_000,
        f"{MISSING}\n".encode(),
    )
    choice = int(rng.integers(2 * len(contents)))
    if choice < len(contents):
        pointer.write_bytes(contents[choice])
    else:
        _special(pointer, rng)
    return version


def remove(path: Path) -> None:
    """Removes whatever lies there, without following links."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def with_manifest(models: Path, version: str, change: Callable[[dict[str, Any]], Any]) -> str:
    """Changes a manifest and renames the folder to match; returns the new version."""
    folder = models / version
    manifest = json.loads((folder / MANIFEST).read_bytes())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    renamed = version_of(manifest)
    if renamed != version and "/" not in renamed:
        folder.rename(models / renamed)
        return renamed
    return version


def _describe(manifest: dict[str, Any], name: str, path: Path, array: NDArray[Any]) -> None:
    manifest["files"][name].update(
        dtype=array.dtype.str,
        shape=list(array.shape),
        bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _file(folder: Path, rng: Rng) -> Path:
    files = sorted(path for path in folder.iterdir() if path.stat().st_size)
    return files[rng.integers(len(files))]


def _array_file(folder: Path, rng: Rng) -> Path:
    files = sorted(path for path in folder.glob("*.npy") if path.stat().st_size > 128)
    return files[rng.integers(len(files))]


def _special(path: Path, rng: Rng) -> None:
    secret = path.parent.parent / "secret"
    while (secret.parent / MANIFEST).exists() or secret.parent.name == "models":
        secret = secret.parent.parent / "secret"
    secret.write_text(SECRET)
    choice = int(rng.integers(7))
    if choice == 0:
        os.mkfifo(path)
    elif choice == 1:
        path.mkdir()
    elif choice == 2:
        with socket.socket(socket.AF_UNIX) as listener:
            before = Path.cwd()
            os.chdir(path.parent)  # the name of a socket may not be long
            try:
                listener.bind(path.name)
            finally:
                os.chdir(before)
    elif choice == 3:
        path.touch()
        os.truncate(path, _HUGE)  # sparse
    else:
        path.symlink_to({4: "/dev/zero", 5: str(secret), 6: "/proc/self/environ"}[choice])


def _set(value: float) -> Change:
    def change(array: Any, rng: Rng) -> Any:
        array.reshape(-1)[rng.integers(array.size)] = value
        return array

    return change


def _same(array: Any, rng: Rng) -> Any:
    """Makes one entry equal to another one that differs."""
    flat = array.reshape(-1)
    one = int(rng.integers(flat.size))
    others = np.flatnonzero(flat != flat[one])
    flat[one] = flat[rng.choice(others)]
    return array


def _fall(array: Any, rng: Rng) -> Any:
    """Makes offsets fall, but not at their ends."""
    array[rng.integers(1, len(array) - 1)] = array[-1] + 1
    return array


def _turned(array: Any, _rng: Rng) -> Any:
    return np.ascontiguousarray(array[::-1])


def _double(array: Any, _rng: Rng) -> Any:
    array[:, 1] = array[:, 0]
    return array


def _invalid_text(array: Any, rng: Rng) -> Any:
    array[rng.integers(len(array))] = 0xFF
    return array


def _same_ids(array: Any, _rng: Rng) -> Any:
    array[:] = ord("x")
    return array


def _as(dtype: str) -> Change:
    return lambda array, _rng: array.astype(dtype)


def _shorter(array: Any, _rng: Rng) -> Any:
    return np.ascontiguousarray(array[:-1])


def _in_columns(array: Any, _rng: Rng) -> Any:
    return np.asfortranarray(array)


def _scaled(array: Any, _rng: Rng) -> Any:
    return array * array.dtype.type(2)


_NAN, _INF, _NEGATIVE, _BIG = _set(np.nan), _set(np.inf), _set(-5), _set(2**31 - 1)
_TYPES: Final = (_as(">f4"), _as("<f8"), _as("<f2"), _shorter)
_NONSENSE: Final[Mapping[str, tuple[Change, ...]]] = {
    "user_factors": (_NAN, _INF, _set(3e38), _in_columns, *_TYPES),
    "item_factors": (_NAN, _INF, _set(3e38), _in_columns, *_TYPES),
    "item_gramian": (_NAN, _INF, _set(1e9), _scaled, _shorter),
    "history_factors": (_NAN, _INF, _set(3e38), _scaled, _turned, _in_columns, *_TYPES),
    "item_names_data": (_invalid_text, _shorter),
    "item_names_offsets": (_fall, _NEGATIVE, _shorter),
    "popularity_by_listeners": (_NEGATIVE, _BIG, _same, _turned, _as("<i8")),
    "popularity_by_plays": (_NEGATIVE, _BIG, _same, _turned, _as("<u4")),
    "popularity_listeners": (_NEGATIVE, _as("<f8"), _shorter),
    "popularity_plays": (_NAN, _INF, _NEGATIVE),
    "user_items_indptr": (_fall, _NEGATIVE, _set(2**62), _shorter),
    "user_items_indices": (_NEGATIVE, _BIG, _turned, _as("<i8")),
    "user_items_plays": (_NAN, _INF, _NEGATIVE, _set(0)),
    "weighting_idf": (_NAN, _NEGATIVE, lambda array, _: array[:0], _shorter),
    "user_ids_data": (_invalid_text, _same_ids),
    "user_ids_offsets": (_fall, _NEGATIVE, _set(2**62)),
    "user_ids_buckets": (_fall, _NEGATIVE, _set(2**62), _shorter),
    "user_ids_order": (_NEGATIVE, _BIG, _same, _turned),
    "item_ids_data": (_invalid_text, _same_ids),
    "item_ids_offsets": (_fall, _NEGATIVE),
    "item_ids_buckets": (_fall, _NEGATIVE),
    "item_ids_order": (_NEGATIVE, _BIG, _same, _turned),
    "top_items": (_NEGATIVE, _BIG, _double, lambda array, _: array[:, :0]),
    "top_scores": (_NAN, _INF, _set(3e38), _as("<f8")),
}
if unknown := _NONSENSE.keys() ^ {*ARRAYS} - {"user_items_recency"}:
    raise AssertionError(f"arrays without nonsense: {unknown}")

_MISSING: Final = object()


def _nested(depth: int) -> list[Any]:
    return [_nested(depth - 1)] if depth else []


# Wherever a value stands that a reader relies on.
_MANIFEST_NONSENSE: Final[tuple[tuple[str, tuple[Any, ...]], ...]] = (
    ("format_version", (3, "1", None, [1], True, _MISSING)),
    ("code_version", (5, None, {}, _MISSING)),
    ("dataset", (5, "name", ["list"])),
    ("metrics", (5, "much", [1])),
    ("publication", (5, "yes", [])),
    ("parameters", (None, 5, [], {}, _MISSING)),
    ("parameters/alpha", ("much", None, True, -1, 10**400, [], _MISSING)),
    ("parameters/fold_in_regularization", ("much", None, -1e9, 1e300, {})),
    ("weighting", (None, 5, [], _MISSING)),
    ("weighting/name", ("tf-idf", None, 5, {}, _MISSING)),
    ("weighting/median_plays", (0, -1, "1", None, True, 1e-300, _MISSING)),
    ("weighting/mean_weight", (0, -1, None, 10**400)),
    ("blocks", (None, 5, {}, [], ["als"], [{}], [{"kind": "deep"}], _MISSING)),
    ("blocks/0/kind", ("linear", "deep", None, 5, [], _MISSING)),
    ("blocks/0/columns", ([0, 1], [1, 8], [0.5, 8], None, "0-8", _MISSING)),
    ("blocks/1/columns", ([7, 14], [0, 6], [], _MISSING)),
    ("blocks/0/parameters/alpha", ("much", None, True, -1, 10**400, _MISSING)),
    ("blocks/1/parameters/weight", (0, -1, None, "1", 1e300, True, _MISSING)),
    ("blocks/1/parameters/user_exponent", (-0.1, 1.1, None, _MISSING)),
    ("blocks/1/parameters/median_weight", (-1, "1", None, _MISSING)),
    ("blocks/1/weighting", (None, 5, [], {"name": "log"}, _MISSING)),
    ("blocks/1/weighting/median_plays", (0, -1, 1e-300, _MISSING)),
    ("event_unit", (5, "one", [])),
    ("event_unit/multiple", (-1, "3", None, 1e300, _MISSING)),
    ("event_watermark", (5, "five", {"store": 5, "sequence": 1}, {"store": "x"})),
    ("event_watermark", tuple({"store": "x", "sequence": one} for one in (-1, 10**30, "1", True))),
    ("files", (None, [], 5, {}, _MISSING)),
    ("files/item_factors", (None, 5, [], {}, _MISSING)),
    ("files/item_factors/bytes", (-1, "5", None, 10**30, True, 1.5, _MISSING)),
    ("files/item_factors/shape", ([-1, 5], None, [10**30, 3], "5x3", _MISSING)),
    ("files/item_factors/dtype", (">f4", "<f8", None, "|O", _MISSING)),
    ("files/item_factors/sha256", (None, "0" * 64, 5, _MISSING)),
    ("report", (5, "report.html", {"bytes": -1, "sha256": "0"}, {"bytes": True, "sha256": "0"})),
    ("dataset", ({"deep": _nested(400)},)),
    ("extra", ({"deep": _nested(400)},)),
)

# What is done before a version becomes current.
BEFORE: Final[Mapping[str, Damage]] = {
    "bit flip": flip_a_bit,
    "truncation": truncate,
    "nonsense, right checksums": write_nonsense,
    "nonsense manifest, right name": write_a_nonsense_manifest,
    "special file": place_a_special_file,
    "linked folder": link_the_folder,
}
POINTER: Final[Mapping[str, Damage]] = {"pointer": damage_the_pointer}
# What is done to a version in service.
SERVED: Final[Mapping[str, Damage]] = {
    "truncation while served": truncate_an_array,
    "overwritten while served": overwrite_in_place,
}
