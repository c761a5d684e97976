"""The note of a run: a file that is there while the service runs, and is removed when it ends.

A service that is killed, or whose machine goes down, logs nothing. The next run finds the note, and
says so. The note is beside the keepsake, so with ``ENCORE_STATE`` it outlives the machine.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Final

from app.files import shared_folder
from app.settings import Settings

_MOST_BYTES: Final = 1000

logger = logging.getLogger(__name__)


@contextmanager
def noted_run(settings: Settings) -> Iterator[None]:
    """Logs that the last run did not end cleanly, if so, and notes this one while it lasts.

    Nothing is noted where no file can be written, or while another service with the same models,
    event store, address and port is running.
    """
    path = _path(settings)
    try:
        descriptor = _open(path)
    except OSError as error:
        logger.debug("%s is not written: %s", path, error.strerror)
        yield
        return
    try:
        if last := os.pread(descriptor, _MOST_BYTES, 0):
            logger.warning(
                "the last run did not end cleanly (%s): it was killed, or its machine went down. "
                "Events that it has acknowledged are stored",
                _described(last),
            )
        note = {"pid": os.getpid(), "started": datetime.now(UTC).isoformat(timespec="seconds")}
        os.ftruncate(descriptor, 0)
        with suppress(OSError):  # the disk is full
            os.pwrite(descriptor, json.dumps(note).encode(), 0)
        yield
        path.unlink(missing_ok=True)
    except SystemExit:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _path(settings: Settings) -> Path:
    place = [settings.database_url.get_secret_value(), str(settings.models.absolute())]
    place += [settings.host, str(settings.port)]
    name = blake2b("\0".join(place).encode(errors="surrogateescape"), digest_size=16).hexdigest()
    return (settings.state or shared_folder()) / f"encore-{os.getuid()}-{name}.running"


def _open(path: Path) -> int:
    """Opens the note and locks it; the kernel frees the lock of a killed process.

    Raises:
        OSError: it cannot be opened; ``BlockingIOError`` if another run has it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        if os.fstat(descriptor).st_uid != os.getuid():
            raise PermissionError(1, "it belongs to another user of this host")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _described(note: bytes) -> str:
    with suppress(ValueError, TypeError, KeyError):
        content = json.loads(note)
        return f"process {int(content['pid'])}, started {str(content['started'])[:40]}"
    return "its note cannot be read"
