"""Datasets: what is known, where it comes from, and how it becomes records."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from training.data.records import Records
from training.datasets import hetrec_lastfm_2k, lastfm, lastfm_1k, lastfm_360k, table
from training.datasets.dataset import Dataset, Download, LoadOptions
from training.datasets.sample_files import CARD, SAMPLE, sample_folder
from training.errors import DatasetError

__all__ = ["DATASETS", "Dataset", "Download", "LoadOptions", "ensure_dataset", "load_dataset"]

DATA: Final = Path("data")

_NON_COMMERCIAL: Final = "non-commercial use; other use: ask Last.fm"


def _load_synthetic(path: Path, options: LoadOptions) -> Records:
    from training.datasets import synthetic  # noqa: PLC0415 - it reads through this package

    return synthetic.load(path, options)


DATASETS: Final[Mapping[str, Dataset]] = MappingProxyType(
    {
        dataset.name: dataset
        for dataset in (
            Dataset(
                name=lastfm_360k.NAME,
                description="Artists that 359,000 users of Last.fm played most, 17.5 million rows",
                licence=_NON_COMMERCIAL,
                source=lastfm.SOURCE,
                files=(lastfm_360k.PLAYS_FILE, lastfm_360k.PROFILE_FILE),
                load=lastfm_360k.load,
                download=lastfm_360k.DOWNLOAD,
                subfolder=lastfm_360k.SUBFOLDER,
            ),
            Dataset(
                name=lastfm_1k.NAME,
                description="Each play of 992 users of Last.fm with its time, 19.2 million rows",
                licence=_NON_COMMERCIAL,
                source=lastfm.SOURCE,
                files=(lastfm_1k.PLAYS_FILE, lastfm_1k.PROFILE_FILE),
                load=lastfm_1k.load,
                download=lastfm_1k.DOWNLOAD,
                subfolder=lastfm_1k.SUBFOLDER,
            ),
            Dataset(
                name=hetrec_lastfm_2k.NAME,
                description="Artists of 1,892 users of Last.fm, 92,834 rows",
                licence=_NON_COMMERCIAL + "; cite Last.fm and HetRec 2011",
                source=hetrec_lastfm_2k.SOURCE,
                files=(hetrec_lastfm_2k.PLAYS_FILE, hetrec_lastfm_2k.ARTISTS_FILE),
                load=hetrec_lastfm_2k.load,
                download=hetrec_lastfm_2k.DOWNLOAD,
                subfolder=hetrec_lastfm_2k.SUBFOLDER,
            ),
            Dataset(
                name=table.NAME,
                description="Your own CSV, TSV or Parquet file; options name its columns",
                licence="yours",
                source="--data FILE",
                files=("*.csv", "*.tsv", "*.csv.gz", "*.tsv.gz", "*.parquet"),
                load=table.load,
            ),
            Dataset(
                name=SAMPLE,
                description="A made-up sample in the format of lastfm-360k",
                licence="none needed: nobody in it exists",
                source="python -m training generate",
                files=(lastfm_360k.PLAYS_FILE, lastfm_360k.PROFILE_FILE),
                load=_load_synthetic,
            ),
        )
    }
)


def load_dataset(name: str, path: Path, options: LoadOptions | None = None) -> Records:
    """Reads a dataset.

    Args:
        name: one of ``DATASETS``.
        path: where it lies; see the loader of the dataset.
        options: how to read it.

    Returns:
        Its records. Two readings of the same files give the same arrays.

    Raises:
        DatasetError: there is no such dataset, it cannot be read, or what lies there was made up
            and is asked for under the name of real data.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="replace")
        raise DatasetError(f"{shown}: the name is no valid UTF-8; rename it") from None
    dataset = _dataset(name)
    _refuse_sample(dataset, path)
    return dataset.load(path, options or LoadOptions())


def ensure_dataset(name: str, path: Path | None = None, *, data: Path = DATA) -> Path:
    """Returns where a dataset lies, and downloads it if nothing says where.

    Args:
        name: one of ``DATASETS``.
        path: where it lies; taken as it is.
        data: folder of downloads, in which the dataset has a folder under its name.

    Raises:
        DatasetError: there is no such dataset, or it is neither there nor to be downloaded.
        DownloadError: it cannot be downloaded.
    """
    dataset = _dataset(name)
    if path is not None:
        return path
    folder = data / name
    if dataset.download is not None:
        from training.datasets.download import download  # noqa: PLC0415 - httpx2, only if needed

        download(dataset, folder)
    elif not folder.exists():
        raise DatasetError(
            f"where is the dataset {name}? Give --data; it comes from: {dataset.source}"
        )
    return folder


def _refuse_sample(dataset: Dataset, path: Path) -> None:
    """Refuses a made-up sample under the name of real data, whose formats it imitates."""
    if dataset.name == SAMPLE:
        return
    for place in (path, path / dataset.subfolder) if dataset.subfolder else (path,):
        if folder := sample_folder(place):
            raise DatasetError(
                f"{folder} was made up by `python -m training generate` (it holds {CARD}), so it "
                f"is no {dataset.name}: give --dataset {SAMPLE}, or the real data's place in --data"
            )
        if (place / dataset.files[0]).is_file():
            return  # the loader looks no further


def _dataset(name: str) -> Dataset:
    try:
        return DATASETS[name]
    except KeyError:
        known = ", ".join(DATASETS)
        raise DatasetError(f"there is no dataset {name!r}; known are {known}") from None
