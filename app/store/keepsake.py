"""What a host remembers of an event store, for a service that starts while the store is away.

Nobody who was erased may be recognised then, and no artist that is unavailable be shown.
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
    """What a service has to know of a store that is away.

    Attributes:
        erased: stamp keys of who was erased.
        availability_version: the version of availability.
        unavailable: the unavailable artists.
    """

    erased: frozenset[int] = frozenset()
    availability_version: int = 0
    unavailable: tuple[str, ...] = ()


class Keepsake:
    """A file for one store, by its address.

    It is read once, when the service starts, and replaced at each change. What goes wrong with it
    is logged and harms nothing else: it only matters while the store is away.

    Args:
        address: the URL of the store, of which only a hash is stored.
        folder: where the file is; None for the host's shared memory.
    """

    def __init__(self, address: str, folder: Path | None = None) -> None:
        name = blake2b(address.encode(), digest_size=16).hexdigest()
        self._path = (folder or shared_folder()) / f"encore-{os.getuid()}-{name}.json"
        self._saved = StoreKnowledge()

    def load(self) -> StoreKnowledge:
        """Returns what was saved last, nothing if that cannot be read."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return self._saved
        except OSError as error:
            logger.warning("%s is not used: %s", self._path, error.strerror)
            return self._saved
        try:
            if os.fstat(descriptor).st_uid != os.getuid():
                raise ValueError("it belongs to somebody else")
            # Closed below: a folder is no file, and its descriptor would be left.
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                self._saved = _parse(json.load(file))
        except (OSError, ValueError, TypeError, KeyError) as error:
            logger.warning("%s is not used: %s", self._path, error)
        finally:
            os.close(descriptor)
        return self._saved

    def save(self, knowledge: StoreKnowledge) -> bool:
        """Replaces what was saved, unless it is the same.

        Returns:
            Whether that is done with; else it should be tried again in a moment.
        """
        if knowledge == self._saved:
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
            return False  # another worker is at it
        except OSError as error:
            logger.warning("%s cannot be written: %s", self._path, error.strerror)
        self._saved = knowledge
        return True


def _parse(content: dict[str, object]) -> StoreKnowledge:
    erased, unavailable = content["erased"], content["unavailable"]
    version = content["assortment_version"]
    if not isinstance(erased, list) or not isinstance(unavailable, list):
        raise TypeError("it holds something else")
    return StoreKnowledge(
        frozenset(map(int, erased)), int(str(version)), tuple(map(str, unavailable))
    )
