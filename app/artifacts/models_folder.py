"""The models folder: published versions and the pointer to the current one.

Nothing else knows the layout of the folder. ``ModelsFolder`` reads; writing is in
``app.artifacts.writable_folder``.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from app.artifacts.footprint import Footprint
from app.artifacts.format import ARRAYS, MANIFEST, REPORT, array_path
from app.artifacts.manifest import read_manifest
from app.artifacts.pointer import POINTER, is_version, read_pointer
from app.artifacts.reading import check_values, open_model, read_report, verify_checksums
from app.errors import InvalidArtifact, ModelNotFound
from app.model.model import Model


class ModelsFolder:
    """A models folder to read from; it need not exist yet.

    Attributes:
        path: the path from the settings or an option.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def versions(self) -> list[str]:
        """Returns the published versions, oldest first; none if the folder is missing."""
        if not self.path.is_dir():
            return []
        return sorted(
            entry.name
            for entry in self.path.iterdir()
            if is_version(entry.name) and (entry / MANIFEST).is_file()
        )

    def current(self) -> str | None:
        """Returns the version that the pointer names, None where no version is current.

        Raises:
            ModelNotFound: the pointer names no version, or cannot be read.
        """
        return read_pointer(self.path)

    def find(self, wanted: str | None = None) -> str:
        """Returns a version that exists: the wanted one, or the current one.

        Raises:
            ModelNotFound: there is no such version.
        """
        version = wanted or self.current()
        if version is None:
            raise ModelNotFound(f"there is no model in {self} yet; `train` makes one")
        if version not in self.versions():
            raise ModelNotFound(f"there is no version {version!r} in {self}; see `models list`")
        return version

    def open(self, version: str) -> Model:
        """Maps a version after checking sizes, shapes and dtypes of all its files.

        Raises:
            InvalidArtifact: a file does not match the manifest or the format.
        """
        return open_model(self.place_of(version))

    def open_current(self) -> Model:
        """Maps the current version.

        Raises:
            ModelNotFound: there is none.
            InvalidArtifact: as for ``open``.
        """
        return self.open(self.find())

    def manifest(self, version: str) -> dict[str, Any]:
        """Reads and checks the manifest of a version.

        Raises:
            InvalidArtifact: it does not match the version.
        """
        return read_manifest(self.place_of(version))

    def report(self, version: str) -> bytes:
        """Reads the report of a version, HTML as UTF-8.

        Raises:
            ReportNotFound: the model was published without one.
            InvalidArtifact: it is missing, or differs from the one that was published.
        """
        return read_report(self.place_of(version))

    def verify(
        self,
        version: str,
        *,
        with_report: bool = True,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        """Compares the SHA-256 of every file with the manifest, and checks all values.

        Args:
            version: which version.
            with_report: whether to check the report too, which the service does not need for lists.
            cancelled: asked now and then; once it says True, the rest is left out.

        Raises:
            InvalidArtifact: a file is missing or has changed, or holds nonsense.
        """
        place = self.place_of(version)
        verify_checksums(place, with_report=with_report, cancelled=cancelled)
        if not cancelled():
            check_values(open_model(place), place, cancelled)

    def substitutes(self, wanted: str | None) -> Iterator[str]:
        """Yields the versions that may take the place of one that cannot be used, the best first.

        Versions before it come first, newest first: somebody may have pointed back past the others.
        Versions that publishing did not make current, since their data had shrunk, are left out.

        Args:
            wanted: the version that cannot be used; None where it is unknown which one it is.
        """
        versions = sorted(self.versions(), reverse=True)
        earlier = [one for one in versions if wanted is None or one < wanted]
        for version in (*earlier, *(one for one in versions if wanted and one > wanted)):
            try:
                publication = self.manifest(version).get("publication") or {}
            except InvalidArtifact:
                publication = {}  # opening it will say why it cannot be read
            if publication.get("made_current") is not False:
                yield version

    def files(self, version: str) -> list[Path]:
        """Returns the paths of the files of a version that are there, without the report."""
        place = self.place_of(version)
        paths = (place / MANIFEST, *(array_path(place, name) for name in ARRAYS))
        return [path for path in paths if path.exists()]

    def footprint(self, version: str) -> Footprint:
        """Returns what the file system says of the files of a version now."""
        names = (f"{name}.npy" for name in ARRAYS)
        return Footprint.of(self.place_of(version), (MANIFEST, *names))

    def place_of(self, version: str) -> Path:
        """Returns the path of a version, to show to people."""
        return self.path / version

    def report_place(self, version: str) -> Path:
        """Returns the path of a version's report, to show to people."""
        return self.place_of(version) / REPORT

    def pointing_command(self, version: str) -> str:
        """Returns the shell command that makes a version current atomically."""
        new, pointer = (shlex.quote(str(self.path / name)) for name in (".next", POINTER))
        return f"echo {version} > {new} && mv {new} {pointer}"
