"""The keepsake: a file with what a host knows of its event store.

A service that starts while the store is unreachable reads it, so that it recognises no erased user
and shows no unavailable artist.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from app.files import replacing, shared_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoreKnowledge:
    """What a service has to know of a store that it cannot reach.

    Attributes:
        erased: stamp keys of the erased users.
        availability_version: the version of availability.
        unavailable: the unavailable artists.
    """

    erased: frozenset[int] = frozenset()
    availability_version: int = 0
    unavailable: tuple[str, ...] = ()


class Keepsake:
    """The file for one store, named after a hash of its address.

    It is read once, when the service starts, and replaced at each change. Errors are logged and not
    raised, since the file only matters while the store is unreachable.

    Args:
        address: the URL of the store, of which only a hash is stored.
        folder: the folder of the file; None for the host's shared memory.
    """

    def __init__(self, address: str, folder: Path | None = None) -> None:
        name = blake2b(address.encode(), digest_size=16).hexdigest()
        self._path = (folder or shared_folder()) / f"encore-{os.getuid()}-{name}.json"
        self._saved = StoreKnowledge()
        self._has_failed = False

    def is_there(self) -> bool:
        """Whether the file is there, if it has to be; logging out may empty shared memory."""
        return self._saved == StoreKnowledge() or self._path.exists()

    def load(self) -> StoreKnowledge:
        """Returns what was saved last; an empty value if that cannot be read."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return self._saved
        except OSError as error:
            logger.warning("%s is not used: %s", self._path, error.strerror)
            return self._saved
        try:
            if os.fstat(descriptor).st_uid != os.getuid():
                raise ValueError("it belongs to another user of this host")
            # Closed below: if the path is a folder, fdopen fails and leaves its descriptor open.
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                self._saved = _parse(json.load(file))
        except (OSError, ValueError, TypeError, KeyError) as error:
            logger.warning("%s is not used: %s", self._path, error)
        finally:
            os.close(descriptor)
        return self._saved

    def save(self, knowledge: StoreKnowledge) -> bool:
        """Replaces what was saved, unless it is the same and still there.

        Returns:
            False if another worker is writing, so that the caller should try again soon; else True.
        """
        if knowledge == self._saved and self.is_there():
            return True
        content = {
            "erased": sorted(knowledge.erased),
            "assortment_version": knowledge.availability_version,
            "unavailable": knowledge.unavailable,
        }
        try:
            with replacing(self._path) as partial:
                partial.write_text(json.dumps(content), encoding="utf-8")
        except BlockingIOError:
            return False  # another worker is writing it
        except OSError as error:
            if not self._has_failed or knowledge != self._saved:
                logger.warning("%s cannot be written: %s", self._path, error.strerror)
            self._has_failed = True
        else:
            self._has_failed = False
        self._saved = knowledge
        return True


def _parse(content: dict[str, object]) -> StoreKnowledge:
    erased, unavailable = content["erased"], content["unavailable"]
    version = content["assortment_version"]
    if not isinstance(erased, list) or not isinstance(unavailable, list):
        raise TypeError("its content is not that of a keepsake")
    return StoreKnowledge(
        frozenset(map(int, erased)), int(str(version)), tuple(map(str, unavailable))
    )
