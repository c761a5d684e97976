"""Writing to the models folder: by one process at a time, whole versions only."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from app.artifacts.models_folder import POINTER, ModelsFolder
from app.artifacts.reading import open_model, verify_checksums
from app.artifacts.writing import write_model
from app.errors import ModelNotFound
from app.files import sync_folder
from app.model.model import Model

_LOCK: Final = ".lock"


class WritableModelsFolder(ModelsFolder):
    """A models folder to publish to, and to remove versions from. The service has none."""

    def make(self) -> None:
        """Makes the folder where it is missing.

        Raises:
            OSError: it cannot be made.
        """
        self.path.mkdir(parents=True, exist_ok=True)

    def set_current(self, version: str) -> None:
        """Points at a version, atomically.

        Raises:
            ModelNotFound: there is no such version.
            OSError: the pointer cannot be written.
        """
        if version not in self.versions():
            raise ModelNotFound(f"{self}: there is no version {version}")
        # Neither threads nor containers, where everyone is process 1, may share a temporary file.
        temporary = self.path / f".{POINTER}-{secrets.token_hex(8)}"
        try:
            with temporary.open("w") as file:
                file.write(f"{version}\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path / POINTER)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(self.path)

    @contextmanager
    def lock(self) -> Iterator[Workspace]:
        """Lends a workspace to one process at a time; the kernel frees the lock of a killed one.

        Raises:
            OSError: the folder is missing, or cannot be written.
        """
        with (self.path / _LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with _work_place(self.path.resolve()) as place:
                yield Workspace(self, place)


class Workspace:
    """What the holder of the lock may do; in a place where nobody looks for versions.

    Args:
        folder: the models folder.
        place: a folder that can be renamed into it; whatever is left there is removed.
    """

    def __init__(self, folder: WritableModelsFolder, place: Path) -> None:
        self._folder = folder
        self._place = place

    def write(
        self,
        model: Model,
        *,
        card: Mapping[str, Any],
        report: str | None,
        created_at: datetime,
    ) -> str:
        """Writes a model and reads it back; it is no version of the folder yet.

        Args:
            model: what to write.
            card: what the manifest says besides the format.
            report: HTML, None for none.
            created_at: time of the version.

        Returns:
            The version.

        Raises:
            InvalidArtifact: what was written does not read back.
            OSError: the disk is full, or the folder cannot be written.
        """
        content = self._place / "content"
        version = write_model(model, content, card=card, report=report, created_at=created_at)
        staged = content.rename(self._place / version)
        open_model(staged)
        verify_checksums(staged)
        return version

    def publish(self, version: str, *, make_current: bool) -> None:
        """Moves a written version to its place, and points to it if wanted: both or nothing.

        Raises:
            OSError: the folder cannot be written.
        """
        final = self._folder.place_of(version)
        is_new = not final.exists()  # the same content in the same second is the same version
        if is_new:
            (self._place / version).rename(final)
            sync_folder(self._folder.path)
        if not make_current:
            return
        try:
            self._folder.set_current(version)
        except OSError:
            if is_new:
                shutil.rmtree(final, ignore_errors=True)
            raise

    def remove(self, version: str) -> None:
        """Removes a version, whole or not at all. A service that has it open goes on with it.

        Raises:
            OSError: there is no such version, or the folder cannot be written.
        """
        # What is left of it after a kill is removed as that of a killed training is.
        self._folder.place_of(version).rename(self._place / version)
        sync_folder(self._folder.path)


@contextmanager
def _work_place(models: Path) -> Iterator[Path]:
    """Makes a folder to write in, outside the models folder: a kill leaves nothing half there."""
    prefix = f".{models.name}-building-"
    # Under the lock, whatever is there was left behind by a training that was killed.
    for place in (models, models.parent):
        for leftover in place.glob(f"{prefix}*"):
            shutil.rmtree(leftover, ignore_errors=True)
    name = f"{prefix}{os.getpid()}"
    folder = (models.parent if _can_move_into(models, name) else models) / name
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _can_move_into(models: Path, name: str) -> bool:
    """Tries whether a folder beside the models folder can be renamed into it.

    Not so where the models folder is a mount point, or its parent is not ours.
    """
    outside, inside = models.parent / name, models / name
    try:
        outside.mkdir()
        outside.rename(inside)
    except OSError:
        return False
    finally:
        for probe in (outside, inside):
            with suppress(OSError):
                probe.rmdir()
    return True
