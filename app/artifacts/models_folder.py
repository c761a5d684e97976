"""The models folder: published versions and the pointer to the current one.

Nothing else knows the layout of the folder. ``ModelsFolder`` reads; writing is in
``app.artifacts.writable_folder``.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, Final

from app.artifacts.format import MANIFEST, REPORT
from app.artifacts.manifest import read_manifest
from app.artifacts.reading import open_model, read_report, verify_checksums
from app.errors import ModelNotFound
from app.model.model import Model

POINTER: Final = "current"
_VERSION: Final = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}", re.ASCII)


def is_version(name: str) -> bool:
    """Says whether a name has the form of a version."""
    return _VERSION.fullmatch(name) is not None


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
        path = self.path / POINTER
        try:
            with path.open(errors="replace") as file:
                text = file.read(200).strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ModelNotFound(
                f"{path}: expected a readable file, found: {error.strerror}"
            ) from error
        if not is_version(text):
            raise ModelNotFound(
                f"{path}: expected one version such as 20261123T150405Z-3f9c2a1b, found {text!r}"
            )
        return text

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

    def verify(self, version: str, *, with_report: bool = True) -> None:
        """Compares the SHA-256 of every file of a version with its manifest.

        Args:
            version: which version.
            with_report: whether to check the report too, which the service does not need for lists.

        Raises:
            InvalidArtifact: a file is missing or has changed.
        """
        verify_checksums(self.place_of(version), with_report=with_report)

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
