"""What is declared of a dataset: name, files, licence, where it is fetched and how it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from training.data.records import Records

# The options that a loader reads; a class that has more of them will do as well.
OptionsT_contra = TypeVar("OptionsT_contra", contravariant=True)


class Loader(Protocol[OptionsT_contra]):
    """Reads a dataset."""

    def __call__(self, path: Path, options: OptionsT_contra) -> Records:
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
class Dataset(Generic[OptionsT_contra]):
    """All that is known of a dataset; its module declares it as ``DATASET``.

    Attributes:
        name: on the command line.
        description: one sentence.
        licence: what its data may be used for.
        source: the page that it comes from, or what makes it.
        files: the names that are expected in its folder.
        load: reads it.
        download: where it is fetched, None where it cannot be.
        subfolder: the folder that its archive unpacks into, where the files are looked for as well.
        times: what to take of it where the time of each record is needed, for a message that says
            so; None where records have no times, or none that say anything of real listeners.
        is_made_up: whether nobody in it exists, so that it has whatever size was asked for and may
            not be read under another name.
    """

    name: str
    description: str
    licence: str
    source: str
    files: tuple[str, ...]
    load: Loader[OptionsT_contra]
    download: Download | None = None
    subfolder: str | None = None
    times: str | None = None
    is_made_up: bool = False
