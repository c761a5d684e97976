"""The files of a made-up sample: written whole or not at all, and never over other files."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import polars as pl

from training.datasets import lastfm_1k, lastfm_360k
from training.errors import DatasetError
from training.files import already_there
from training.numbers import count, plural

CARD: Final = "synthetic.json"
# The files of samples in either format; the card marks a folder as a sample.
_ALL: Final = (CARD, lastfm_360k.PROFILE_FILE, lastfm_360k.PLAYS_FILE, lastfm_1k.PLAYS_FILE)
_PLAYS: Final = (lastfm_360k.PLAYS_FILE, lastfm_1k.PLAYS_FILE)
_PARTIAL: Final = ".partial-"


@dataclass(frozen=True, slots=True)
class GeneratedSample:
    """The result of ``generate``.

    Attributes:
        paths: the files: plays, profiles where there are any, and the card with the parameters.
        rows: number of lines in the file of plays.
        users: number of users.
        artists: number of distinct artists with rows.
    """

    paths: tuple[Path, ...]
    rows: int
    users: int
    artists: int


def sample_folder(path: Path) -> Path | None:
    """Returns the folder of the sample that a path belongs to, None if it belongs to none.

    Args:
        path: a folder, or a file. A file in the folder of a sample belongs to it only under one of
            the names that ``generate`` writes.
    """
    if path.is_file():
        file = path.resolve()  # a link into a sample is one of its files
        return file.parent if file.name in _ALL and (file.parent / CARD).is_file() else None
    return path if (path / CARD).is_file() else None


def check_sizes(
    users: int, artists: int, mean_artists_per_user: float, seed: int, *, most_users: int = 2**32
) -> None:
    """Refuses impossible sizes.

    Args:
        users: number of users.
        artists: number of artists.
        mean_artists_per_user: mean length of a history.
        seed: of everything.
        most_users: largest number of users.

    Raises:
        DatasetError: one of them is out of range.
    """
    if users < 1 or artists < 1:
        raise DatasetError(
            f"a sample needs at least 1 user and 1 artist, not {users} and {artists}"
        )
    if users > most_users or artists > 2**24:
        raise DatasetError(
            f"{plural(users, 'user')} and {plural(artists, 'artist')}: at most "
            f"{count(most_users)} and {count(2**24)} are made"
        )
    if not 1 <= mean_artists_per_user <= artists:
        raise DatasetError(
            f"{mean_artists_per_user} artists a user cannot be drawn from {artists} artists: "
            "ask for a number from 1 to the number of artists"
        )
    if seed < 0:
        raise DatasetError(f"the seed must be 0 or above, not {seed}")


@contextmanager
def sample_files(
    out: Path, names: Sequence[str], *, overwrite: bool
) -> Iterator[dict[str, IO[bytes]]]:
    """Opens the files of a sample, which get their names when all of them are complete.

    Args:
        out: folder, made if it is missing.
        names: of the files. The plays come last: where they exist, all files do.
        overwrite: whether to replace an earlier sample; other files are never replaced.

    Raises:
        DatasetError: the folder cannot be used, or holds other files or a sample.
    """
    with _translated(out), _locked_folder(out), _partial_files(out, names, overwrite) as files:
        yield files


@contextmanager
def _translated(out: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pl.exceptions.ComputeError) as error:
        raise DatasetError(
            f"{out}: cannot write the sample there ({error}). "
            "Choose a folder that can be written and has room, about 100 bytes a row."
        ) from error


@contextmanager
def _locked_folder(out: Path) -> Iterator[None]:
    """Lets one ``generate`` write at a time; the kernel releases the lock of a killed one."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise DatasetError(f"{out} is a file: give the folder to write into") from None
    folder = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatasetError(f"another generate is writing into {out}: wait for it") from None
        yield
    finally:
        os.close(folder)


@contextmanager
def _partial_files(
    out: Path, names: Sequence[str], overwrite: bool
) -> Iterator[dict[str, IO[bytes]]]:
    """Opens the files under temporary names and renames them when all is done."""
    _refuse_foreign(out, overwrite=overwrite)
    files: dict[str, IO[bytes]] = {}
    try:
        for name in names:
            files[name] = (out / f"{_PARTIAL}{name}").open("wb")
        yield files
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
        for name in _PLAYS:
            (out / name).unlink(missing_ok=True)
        for name in names:
            (out / f"{_PARTIAL}{name}").replace(out / name)
        for name in set(_ALL) - set(names):
            (out / name).unlink(missing_ok=True)
    finally:
        for file in files.values():
            with suppress(OSError):
                file.close()
        for name in _ALL:
            (out / f"{_PARTIAL}{name}").unlink(missing_ok=True)


def _refuse_foreign(out: Path, *, overwrite: bool) -> None:
    present = [name for name in _ALL if (out / name).exists()]
    if not present:
        return
    if CARD not in present:
        raise DatasetError(
            f"{out / present[0]} is there and was not made by generate (no {CARD} beside it): "
            "choose another folder"
        )
    # The plays come last: without them an earlier run was killed.
    if not set(_PLAYS).isdisjoint(present) and not overwrite:
        raise DatasetError(already_there(out, "holds a sample already", "folder"))
