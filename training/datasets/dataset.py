"""What describes a dataset: its name, files, licence, where it is fetched and how it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from training.data.records import Records


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a dataset is read.

    Attributes:
        drop_items_without_id: an artist without MBID becomes no item; its rows stay as records
            with item code -1, so that they still count towards their user's number of rows.
        user_column, item_column: columns of ids, in ``table``.
        weight_column: column of plays, in ``table``; None for one with a usual name, ``weight`` or
            ``plays`` among them, and one play a row where there is none.
        name_column: column of names, in ``table``; None for ``name`` where there is one.
        timestamp_column: column of times, in ``table``; a row whose time cannot be read falls out.
            None for ``timestamp`` where there is one and each of its times can be read, otherwise
            no times are read.
        quoting: whether fields may be quoted, in ``table``; None for yes in CSV and no in TSV.
    """

    drop_items_without_id: bool = False
    user_column: str = "user_id"
    item_column: str = "item_id"
    weight_column: str | None = None
    name_column: str | None = None
    timestamp_column: str | None = None
    quoting: bool | None = None


class Loader(Protocol):
    """Reads a dataset."""

    def __call__(self, path: Path, options: LoadOptions) -> Records:
        """Reads the dataset at ``path``.

        Raises:
            DatasetError: it cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Download:
    """Where a dataset is fetched from.

    Attributes:
        url: address of the archive, a zip or a gzipped tar.
        archive: file name of the archive.
        size: bytes of the archive, about; for people to read.
        largest: bytes that neither the archive nor an unpacked file may exceed.
        files: files to unpack, to the checksum of each (``md5:…``, ``sha256:…``) or None.
        checksum: of the archive, where it is known.
        optional: files that the archive need not hold.
    """

    url: str
    archive: str
    size: int
    largest: int
    files: Mapping[str, str | None]
    checksum: str | None = None
    optional: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Dataset:
    """An entry of the registry.

    Attributes:
        name: on the command line.
        description: one sentence.
        licence: what its data may be used for.
        source: the page that it comes from, or what makes it.
        files: the names that are expected in its folder.
        load: reads it.
        download: where it is fetched, None where it cannot be.
        subfolder: the folder that its archive unpacks into, where the files are looked for as well.
    """

    name: str
    description: str
    licence: str
    source: str
    files: tuple[str, ...]
    load: Loader
    download: Download | None = None
    subfolder: str | None = None
