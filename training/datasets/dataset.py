"""The declaration of a dataset: its name, files, licence, download and loader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from training.data.records import Records

# The options that a loader reads; a class with more options is accepted as well.
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
    """The download of a dataset.

    Attributes:
        url: address of the archive, a zip or a gzipped tar.
        archive: file name of the archive.
        size: approximate bytes of the archive, for the message before a download.
        largest: bytes that neither the archive nor an unpacked file may exceed.
        files: file to unpack to its checksum (``md5:…``, ``sha256:…``), or to None.
        checksum: of the archive, None where it is unknown.
        optional: files that the archive may lack.
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
    """A dataset; its module declares it as ``DATASET``.

    Attributes:
        name: on the command line.
        description: one sentence.
        licence: the permitted use of its data.
        source: the page that it comes from, or the command that makes it.
        files: the names of the files in its folder.
        load: reads it.
        download: where it is fetched from, None where it cannot be downloaded.
        subfolder: the folder that its archive unpacks into, where files are looked for as well.
        times: words for a message that recommends it where the time of each record is needed; None
            where records have no times, only made-up ones, or those of the reader's own account.
        is_made_up: whether it is generated. Such a dataset may have any size and may not be read
            under the name of another one.
        takes_input: whether it is read from standard input as well.
        options: the dataclass of its own options on the command line, None where it has none. It
            is a base of ``DatasetOptions`` as well.
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
    takes_input: bool = False
    options: type | None = None
