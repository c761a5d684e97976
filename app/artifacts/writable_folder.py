"""Writing to the models folder: by one process at a time, whole versions only."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from app.artifacts.models_folder import ModelsFolder
from app.artifacts.pointer import POINTER
from app.artifacts.reading import check_values, open_model, verify_checksums
from app.artifacts.writing import write_model
from app.errors import ModelNotFound
from app.files import sync_folder
from app.model.model import Model

_LOCK: Final = ".lock"


class WritableModelsFolder(ModelsFolder):
    """A models folder to publish to, and to remove versions from. The service never uses it."""

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
        """Locks the folder and yields a workspace; the kernel frees the lock of a killed process.

        Raises:
            OSError: the folder is missing, or cannot be written.
        """
        with (self.path / _LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with _work_place(self.path.resolve()) as place:
                yield Workspace(self, place)


class Workspace:
    """What the holder of the lock may do: write, publish and remove versions.

    Args:
        folder: the models folder.
        place: a temporary folder that can be renamed into it; removed in the end.
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
        """Writes a model to the temporary folder and reads it back; ``publish`` then moves it.

        Args:
            model: the model.
            card: further fields of the manifest.
            report: the report, HTML; None for none.
            created_at: time of the version.

        Returns:
            The version.

        Raises:
            InvalidArtifact: the files that were written cannot be read back, or the model holds
                values that no service would answer from.
            OSError: the disk is full, or the folder cannot be written.
        """
        content = self._place / "content"
        version = write_model(model, content, card=card, report=report, created_at=created_at)
        staged = content.rename(self._place / version)
        verify_checksums(staged)
        check_values(open_model(staged), staged)
        return version

    def publish(self, version: str, *, make_current: bool) -> None:
        """Moves a written version into the models folder, and makes it current if wanted.

        If the second fails, the first is undone.

        Raises:
            OSError: the folder cannot be written.
        """
        final = self._folder.place_of(version)
        is_new = not final.exists()  # equal content in the same second has an equal version name
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
        """Removes a version atomically. A service that has it open goes on with it.

        Raises:
            OSError: there is no such version, or the folder cannot be written.
        """
        place = self._folder.place_of(version)
        if place.is_symlink():
            # Its files would stay, and whoever is in them.
            raise OSError(errno.EINVAL, "it is a link: remove it and what it leads to", str(place))
        # If this process is killed, the next holder of the lock removes the rest.
        place.rename(self._place / version)
        sync_folder(self._folder.path)


@contextmanager
def _work_place(models: Path) -> Iterator[Path]:
    """Makes a temporary folder, outside the models folder where possible.

    A training that is killed then leaves no half-written version among the others.
    """
    prefix = f".{models.name}-building-"
    # The lock is held, so these were left by trainings that were killed.
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
    """Tests whether a folder beside the models folder can be renamed into it.

    It cannot if the models folder is a mount point, or if its parent cannot be written to.
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
