"""The dataset ``synthetic``: a made-up sample in the format of Last.fm 360K or Last.fm 1K."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from training.data.records import Records
from training.datasets import lastfm_1k, lastfm_360k
from training.datasets.dataset import Dataset
from training.datasets.lastfm import LastfmOptions
from training.datasets.reading.sources import matches
from training.datasets.synthetic.sample_files import CARD, sample_folder
from training.errors import DatasetError

NAME: Final = "synthetic"


def load(path: Path, options: LastfmOptions) -> Records:
    """Reads a generated sample as the Last.fm 360K or 1K file that it imitates.

    Args:
        path: the folder that ``generate`` wrote, or its file of plays.
        options: the options of ``lastfm-360k`` and ``lastfm-1k``.

    Raises:
        DatasetError: there is no sample, or it cannot be read.
    """
    timed = path / lastfm_1k.PLAYS_FILE if path.is_dir() else path
    if timed.name == lastfm_1k.PLAYS_FILE and timed.exists():
        return _with_card(lastfm_1k.load(timed, options), timed.parent)
    if path.is_dir() and not (path / lastfm_360k.PLAYS_FILE).exists():
        raise DatasetError(
            f"{path} holds no sample; `python -m training generate --out {path}` writes one"
        )
    records = lastfm_360k.load(path, options)
    return _with_card(records, path if path.is_dir() else path.parent)


def _with_card(records: Records, folder: Path) -> Records:
    sources = dict(records.sources)
    with suppress(OSError, ValueError, KeyError, TypeError):
        sources["generator"] = json.loads((folder / CARD).read_text())["generator"]
    return replace(records, dataset=NAME, sources=sources)


def refuse_sample(dataset: Dataset[Any], path: Path) -> None:
    """Refuses to read a made-up sample under the name of real data, whose format it imitates.

    Args:
        dataset: the dataset that the path is to be read as.
        path: a file, a folder or a pattern.

    Raises:
        DatasetError: the path holds a sample.
    """
    if dataset.is_made_up:
        return
    for named in matches(path):
        for place in (named, named / dataset.subfolder) if dataset.subfolder else (named,):
            if folder := sample_folder(place):
                raise DatasetError(
                    f"{folder} was made up by `python -m training generate` (it holds {CARD}), so "
                    f"it is no {dataset.name}: give --dataset {NAME}, or the real data's place in "
                    "--data"
                )
            if (place / dataset.files[0]).is_file():
                break  # the loader looks no further


DATASET: Final = Dataset(
    name=NAME,
    description="A made-up sample in the format of lastfm-360k",
    licence="none needed: nobody in it exists",
    source="python -m training generate",
    files=(lastfm_360k.PLAYS_FILE, lastfm_360k.PROFILE_FILE),
    load=load,
    is_made_up=True,
)
