"""Datasets: their origin and licence, and how they become records.

Each dataset is declared in a module of its own; the table here lists them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

from training.data.records import Records
from training.datasets import (
    dataset,
    echonest,
    hetrec_lastfm_2k,
    lastfm_1k,
    lastfm_360k,
    lastfm_export,
    listenbrainz,
    movielens,
    spotify,
    table,
    yambda,
)
from training.datasets.reading.sources import STANDARD_INPUT
from training.datasets.reading.table_columns import TableOptions
from training.datasets.synthetic import sample
from training.errors import DatasetError

__all__ = [
    "DATASETS",
    "Dataset",
    "DatasetOptions",
    "LoadOptions",
    "check_options",
    "ensure_dataset",
    "load_dataset",
    "option_names",
    "with_times",
]

DATA: Final = Path("data")


@dataclass(frozen=True, kw_only=True)
class DatasetOptions(
    TableOptions,
    spotify.SpotifyOptions,
    lastfm_export.ExportOptions,
    movielens.MovieLensOptions,
    listenbrainz.ListenBrainzOptions,
    yambda.YambdaOptions,
):
    """Options on the command line; its bases are the options that ``DATASETS`` declare."""


@dataclass(frozen=True, kw_only=True)
class LoadOptions(DatasetOptions, lastfm_export.LoadOptions, listenbrainz.LoadOptions):
    """All options of reading a dataset: those of the command line and those of recipes."""


Dataset: TypeAlias = dataset.Dataset[LoadOptions]

_TABLE: Final[tuple[Dataset, ...]] = (
    lastfm_360k.DATASET,
    lastfm_1k.DATASET,
    hetrec_lastfm_2k.DATASET,
    spotify.DATASET,
    lastfm_export.DATASET,
    movielens.DATASET,
    echonest.DATASET,
    listenbrainz.DATASET,
    yambda.DATASET,
    table.DATASET,
    sample.DATASET,
)
DATASETS: Final[Mapping[str, Dataset]] = MappingProxyType({one.name: one for one in _TABLE})
if len(DATASETS) != len(_TABLE):
    raise ImportError("two datasets have the same name")


def load_dataset(name: str, path: Path, options: LoadOptions | None = None) -> Records:
    """Reads a dataset.

    Args:
        name: one of ``DATASETS``.
        path: its file or folder, a pattern, or ``-`` for standard input; see the loader of the
            dataset.
        options: how to read it.

    Returns:
        Its records. Two readings of the same files give the same arrays.

    Raises:
        DatasetError: there is no such dataset, it cannot be read, it does not take one of the
            options or standard input, or the path holds a made-up sample and ``name`` is that of
            real data.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="replace")
        raise DatasetError(f"{shown}: the name is no valid UTF-8; rename it") from None
    found = _dataset(name)
    options = options or LoadOptions()
    check_options(name, options)
    if path == STANDARD_INPUT and not found.takes_input:
        others = ", ".join(one.name for one in DATASETS.values() if one.takes_input)
        raise DatasetError(
            f"{name} is not read from standard input, as {others} are; name its file or folder in "
            "--data"
        )
    sample.refuse_sample(found, path)
    return found.load(path, options)


def check_options(name: str | None, options: DatasetOptions) -> None:
    """Refuses an option that is not the default and that the dataset does not take.

    Args:
        name: one of ``DATASETS``; None for events without a dataset.
        options: how it is to be read.

    Raises:
        DatasetError: there is no such dataset, or it does not take one of the options.
    """
    taken = frozenset() if name is None else option_names(_dataset(name))
    for option in fields(DatasetOptions):
        if option.name not in taken and getattr(options, option.name) != option.default:
            takes = "no dataset is given" if name is None else f"{name} does not take it"
            flag = f"--{option.name.replace('_', '-')}"
            raise DatasetError(f"{flag} is an option of {_owners(option.name)}; {takes}")


def option_names(dataset: Dataset) -> frozenset[str]:
    """Returns the names of the options on the command line that a dataset takes."""
    own = dataset.options
    return frozenset() if own is None else frozenset(option.name for option in fields(own))


def _owners(option: str) -> str:
    names = [one.name for one in DATASETS.values() if option in option_names(one)]
    return f"the dataset{'s' if len(names) > 1 else ''} {' and '.join(names)}"


def ensure_dataset(name: str, path: Path | None = None, *, data: Path = DATA) -> Path:
    """Returns the path of a dataset; without a path, downloads the dataset first.

    Args:
        name: one of ``DATASETS``.
        path: its file or folder, returned unchanged.
        data: folder of downloads, in which each dataset has a folder under its name.

    Raises:
        DatasetError: there is no such dataset, or it is missing and cannot be downloaded.
        DownloadError: it cannot be downloaded.
    """
    found = _dataset(name)
    if path is not None:
        return path
    folder = data / name
    if found.download is not None:
        from training.datasets.download import download  # noqa: PLC0415 - httpx2, only if needed

        download(found, folder)
    elif not folder.exists():
        raise DatasetError(
            f"{folder} does not exist, and {name} cannot be downloaded. Give --data "
            f"with its place; it comes from: {found.source}"
        )
    return folder


def with_times() -> str:
    """Returns the datasets that have the time of each record, for a message."""
    *others, last = [one.times for one in DATASETS.values() if one.times is not None]
    return f"{', '.join(others)}, or {last}"


def _dataset(name: str) -> Dataset:
    try:
        return DATASETS[name]
    except KeyError:
        known = ", ".join(DATASETS)
        meant = _meant(name)
        rest = f"{meant} Known are {known}" if meant else f"known are {known}"
        raise DatasetError(f"there is no dataset {name!r}; {rest}") from None


def _meant(name: str) -> str:
    """Returns what a wrong name of a dataset was probably meant as, or nothing."""
    word, forms = name.lower().replace("_", "-"), table.DATASET.files
    if f"*.{word}" in forms:
        return f"{table.NAME} reads that form."
    if os.sep in name or f"*{Path(word).suffix}" in forms or Path(name).exists():
        return f"a file is named by --data, and its dataset may be {table.NAME}."
    nearest = get_close_matches(word, DATASETS, n=3)
    return f"did you mean {' or '.join(nearest)}?" if nearest else ""
