"""The table in shared memory goes while workers of a true service use it."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from app.files import SHARED_MEMORY
from tests.processes import children_of
from tests.server import Server, eventually, serving

WORKERS: Final = 2
# Each on a new connection, which any worker may take.
TIMES: Final = 6


def tables(server: Server) -> dict[int, set[str]]:
    """The tables that each worker has mapped."""
    found = {}
    for worker in children_of(server.process.pid):
        maps = ""
        with suppress(OSError):  # it has ended
            maps = Path(f"/proc/{worker}/maps").read_text()
        mapped = re.findall(
            rf"{SHARED_MEMORY}/(encore-\d+-[0-9a-f]{{32}}(?: \(deleted\))?)\n", maps
        )
        if mapped:
            found[worker] = set(mapped)
    return found


def is_one(server: Server) -> bool:
    """Whether all workers use one table, which has a name."""
    mapped = tables(server)
    names = set().union(*mapped.values())
    return len(mapped) == WORKERS and len(names) == 1 and "deleted" not in str(names)


@pytest.mark.slow
def test_acknowledged_events_count_on_every_worker_after_the_table_was_removed(
    models: Path,
) -> None:
    # Was wrong: 36 of 40 of the next lists ignored an event of another worker.
    with serving(models, ENCORE_WORKERS=str(WORKERS)) as server:
        eventually(lambda: is_one(server))
        server.tell({"user_id": "early", "artist_id": "i30"})
        worker, (name,) = next(iter(tables(server).items()))
        (SHARED_MEMORY / name).unlink()
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: worker not in tables(server) and is_one(server))
        for number in range(4):
            user = f"late-{number}"
            assert server.tell({"user_id": user, "artist_id": "i30"})[0] == 200
            for asked in (user, "early"):
                sources = [server.get(f"/recommend/{asked}")[1]["source"] for _ in range(TIMES)]
                assert sources == ["fold_in"] * TIMES
    assert not (SHARED_MEMORY / name).exists()
