"""The footprint of a version: what the file system says of its files, to notice changes cheaply.

Files that are mapped must not change: a page that a truncation took away ends the process, and one
that was overwritten is another model.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What tells that a file was written to; its times change with it."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    def is_same_file(self, other: _Stamp) -> bool:
        return (self.device, self.inode) == (other.device, other.inode)


@dataclass(frozen=True, slots=True)
class Footprint:
    """The stamps of files by name; a file that is missing has none."""

    stamps: Mapping[str, _Stamp]

    @classmethod
    def of(cls, folder: Path, names: Iterable[str]) -> Self:
        """Looks at the files of a folder; neither opens nor reads any."""
        stamps, place = {}, str(folder)
        for name in names:
            try:
                found = os.stat(f"{place}/{name}")  # noqa: PTH116 - a Path takes longer than the call
            except OSError:
                continue
            stamps[name] = _Stamp(
                found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
            )
        return cls(stamps)

    def shrunk(self, later: Footprint) -> list[str]:
        """Returns the files that have become shorter in place."""
        return [name for name, then, now in self._same(later) if now.size < then.size]

    def written(self, later: Footprint) -> list[str]:
        """Returns the files that may have been written to in place.

        A file that was removed or replaced by another is not among them: whoever has it mapped
        still has the former content.
        """
        return [name for name, then, now in self._same(later) if now != then]

    def _same(self, later: Footprint) -> Iterable[tuple[str, _Stamp, _Stamp]]:
        for name, then in self.stamps.items():
            now = later.stamps.get(name)
            if now is not None and then.is_same_file(now):
                yield name, then, now
