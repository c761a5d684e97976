"""A person who is everywhere is erased, and what is to come comes: nothing of them is left."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from app.artifacts.models_folder import ModelsFolder
from app.events.event import user_hash
from app.events.personal_data import Goes, Place
from app.files import SHARED_MEMORY
from app.store.address import open_store
from app.store.stamps import stamp_key
from tests.processes import children_of
from tests.server import Server, eventually, serving
from training.cli import main

PERSON: Final = "person-5c1e7a90d3b84f26"
BAND: Final = "band-that-only-they-play"
WORKERS: Final = 2
OTHERS: Final = [f"u{number}" for number in range(20)]


@dataclass
class World:
    """All that holds the person."""

    folder: Path
    server: Server
    log: str = ""

    @property
    def database(self) -> Path:
        return self.folder / "encore.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.database}"

    @property
    def models(self) -> Path:
        return self.folder / "models"

    def versions(self) -> list[Path]:
        return [self.models / version for version in ModelsFolder(self.models).versions()]


def content(path: Path) -> bytes:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        return bytes(file.read())


def in_files(*paths: Path) -> bool:
    return any(PERSON.encode() in content(path) for path in paths if path.is_file())


def in_tables(world: World) -> bool:
    with closing(sqlite3.connect(f"file:{world.database}?mode=ro", uri=True)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return any(
            PERSON.encode() in value
            for (table,) in tables
            for row in database.execute(f"SELECT * FROM {table}")  # noqa: S608
            for value in row
            if isinstance(value, bytes)
        )


def has_tombstone(world: World) -> bool:
    with closing(sqlite3.connect(f"file:{world.database}?mode=ro", uri=True)) as database:
        hashes = database.execute("SELECT user_hash FROM tombstones").fetchall()
    return (user_hash(PERSON),) in hashes


def in_state(world: World) -> bool:
    (file,) = world.folder.glob("encore-*.json")
    return stamp_key(PERSON) in json.loads(file.read_text())["erased"]


def shared_tables(server: Server) -> set[Path]:
    """The tables in shared memory that the processes of a server have mapped."""
    workers = children_of(server.process.pid)
    maps = "".join((Path("/proc") / str(one) / "maps").read_text() for one in workers)
    return {
        Path(path) for path in re.findall(rf"{SHARED_MEMORY}/encore-\d+-[0-9a-f]{{32}}(?=\n)", maps)
    }


def has_stamp(world: World) -> bool:
    (table,) = shared_tables(world.server)
    assert not in_files(table)
    place = os.sysconf("SC_PAGESIZE") + 8 * (stamp_key(PERSON) % 2**20)
    (number,) = struct.unpack_from("<Q", table.read_bytes(), place)
    return bool(number)


def is_recognised(world: World) -> bool:
    """Whether any worker ranks for the person; each connection may get another one."""
    asked = [world.server.get(f"/recommend/{PERSON}")[1]["source"] for _ in range(6)]
    return any(source != "popularity" for source in asked)


def is_band_listed(world: World) -> bool:
    asked = [world.server.get(f"/recommend/{OTHERS[0]}?n=100")[1]["items"] for _ in range(4)]
    return any(BAND in {item["artist_id"] for item in items} for items in asked)


def models_that_hold(world: World) -> list[Path]:
    return [version for version in world.versions() if in_files(*version.iterdir())]


# How to find out whether a place holds the person; for places that stay, a hash of the person.
HOLDS: Final[dict[Place, Callable[[World], bool]]] = {
    Place.EVENTS: in_tables,
    Place.STORE_LOG: lambda world: in_files(world.folder / "encore.db-wal"),
    Place.STORE_PAGES: lambda world: in_files(world.database),
    Place.TOMBSTONE: has_tombstone,
    Place.STATE: in_state,
    Place.SHARED_TABLE: has_stamp,
    Place.ACTIVITIES: is_recognised,
    Place.NEW_ARTISTS: is_band_listed,
    Place.MODELS: lambda world: bool(models_that_hold(world)),
    Place.REPORTS: lambda world: any(
        (version / "report.html").exists() for version in models_that_hold(world)
    ),
    Place.DATASETS: lambda world: in_files(world.folder / "plays.csv"),
    Place.LISTS: lambda world: in_files(world.folder / "lists.csv"),
    Place.DUMPS: lambda world: in_files(world.folder / "events.jsonl.gz"),
    Place.BACKUPS: lambda world: in_files(world.folder / "backup.db"),
    Place.LOGS: lambda world: PERSON in world.log,
}


def of(*goes: Goes) -> list[Place]:
    return [place for place in Place if place.holding.goes in goes]


def holding(world: World, places: list[Place]) -> list[Place]:
    return [place for place in places if HOLDS[place](world)]


def train(folder: Path, *more: str) -> None:
    table = ["--dataset", "table", "--data", str(folder / "plays.csv")]
    events = ["--events", f"sqlite:///{folder / 'encore.db'}", "--data-until", "never"]
    quick = ["--factors", "4", "--iterations", "2", "--models", str(folder / "models")]
    assert main(["train", *table, *events, *quick, "--force", *more]) == 0


def write_outside(world: World) -> None:
    """Writes all files that the commands write for people."""
    options = ["--events", world.url, "--overwrite"]
    assert main(["events", "export", str(world.folder / "events.jsonl.gz"), *options]) == 0
    assert main(["events", "backup", str(world.folder / "backup.db"), *options]) == 0
    lists = ["export", "--out", str(world.folder / "lists.csv"), "--models", str(world.models)]
    assert main([*lists, *options]) == 0


@contextmanager
def reading(database: Path) -> Iterator[None]:
    """Another program that has begun to read, and takes its time."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        yield


def is_wiped(server: Server) -> bool:
    request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    (value,) = re.findall(rb"^encore_event_store_wiped (\S+)", server.send(request), re.MULTILINE)
    return float(value) == 1.0


def has_begun(world: World) -> bool:
    """Whether all workers have opened the store, and emptied the log that they found."""
    workers = children_of(world.server.process.pid)
    maps = [(Path("/proc") / str(one) / "maps").read_text() for one in workers]
    are_there = sum(f"{SHARED_MEMORY}/encore-" in one for one in maps) == WORKERS
    return are_there and all(is_wiped(world.server) for _ in range(4 * WORKERS))


def tell_of_the_person(world: World) -> None:
    """Lets the person and others do what the service then remembers."""
    plays = [{"user_id": PERSON, "artist_id": f"a{number}"} for number in range(5)]
    named = {
        "user_id": PERSON,
        "artist_id": BAND,
        "artist_name": "A Band",
        "event_id": f"{PERSON}-1",
    }
    assert world.server.tell(named, *plays)[0] == 200
    with closing(sqlite3.connect(world.database)) as database:
        # As SQLite does by itself now and then: the file has a copy, and the log begins anew.
        database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    others = [{"user_id": user, "artist_id": "a1"} for user in (PERSON, OTHERS[1])]
    assert world.server.tell(*others)[0] == 200


def erase(server: Server) -> dict[str, Any]:
    status, answer = server.ask("DELETE", f"/users/{PERSON}")
    assert status == 200
    erased: dict[str, Any] = answer
    return erased


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    rows = [f"{user},a{number % 12},{1 + number}" for user in OTHERS for number in range(10)]
    rows += [f"{PERSON},a{number},9" for number in range(6)]
    (tmp_path / "plays.csv").write_text("\n".join(["user_id,item_id,plays", *rows]))
    url = f"sqlite:///{tmp_path / 'encore.db'}"
    variables = {
        "ENCORE_WORKERS": str(WORKERS),
        "ENCORE_DATABASE_URL": url,
        "ENCORE_STATE": str(tmp_path),
        "ENCORE_LOG_LEVEL": "debug",
        "ENCORE_NEW_ARTIST_LISTENERS": "1",
    }
    open_store(url).close()
    train(tmp_path)
    with serving(tmp_path / "models", **variables) as server:
        yield World(tmp_path, server)


def test_every_place_has_a_check() -> None:
    assert HOLDS.keys() == set(Place)


@pytest.mark.slow
def test_a_person_who_is_everywhere_goes_from_everywhere(world: World) -> None:
    # Was wrong: with a reader, the person stayed in the write-ahead log, and nobody said so.
    eventually(lambda: has_begun(world))
    tell_of_the_person(world)
    write_outside(world)
    eventually(lambda: is_band_listed(world))
    passing = [place for place in Place if place.holding.goes is not Goes.STAYS]
    assert holding(world, passing) == [place for place in passing if place is not Place.LOGS]

    with reading(world.database):
        answer = erase(world.server)
        assert HOLDS[Place.STORE_LOG](world)
    assert (answer["events_erased"], answer["was_in_model"]) == (7, True)
    assert answer["done"] == of(Goes.AT_ONCE)
    to_come = of(Goes.LOOK, Goes.CHECKPOINT, Goes.TRAINING, Goes.OPERATOR)
    assert sorted(one["place"] for one in answer["to_come"]) == sorted(to_come)
    assert answer["stays"] == of(Goes.STAYS)
    assert not holding(world, of(Goes.AT_ONCE))

    eventually(lambda: not holding(world, of(Goes.LOOK, Goes.CHECKPOINT)))
    eventually(lambda: holding(world, of(Goes.STAYS)) == of(Goes.STAYS))
    assert holding(world, of(Goes.TRAINING)) == of(Goes.TRAINING)
    assert erase(world.server)["done"] == [*of(Goes.AT_ONCE), Place.STORE_LOG]

    train(world.folder, "--no-evaluation")
    prune = ["models", "prune", "--erased", "--models", str(world.models), "--events", world.url]
    assert main(prune) == 0
    assert not holding(world, of(Goes.TRAINING))

    # What the operator does: compacts, writes again, and deletes what is old.
    assert main(["events", "compact", "--events", world.url]) == 0
    write_outside(world)
    rows = (world.folder / "plays.csv").read_text().splitlines()
    (world.folder / "plays.csv").write_text("\n".join(row for row in rows if PERSON not in row))
    status, world.log = world.server.end()
    assert (status, HOLDS[Place.LOGS](world)) == (0, True)
    assert not in_files(*world.folder.rglob("*"))


@pytest.mark.slow
def test_what_a_checkpoint_owes_survives_the_end_of_the_service(tmp_path: Path) -> None:
    database, log = tmp_path / "encore.db", tmp_path / "encore.db-wal"
    variables = {"ENCORE_DATABASE_URL": f"sqlite:///{database}", "ENCORE_STATE": str(tmp_path)}
    with ExitStack() as readers, serving(tmp_path / "none", **variables) as first:
        first.tell({"user_id": PERSON, "artist_id": "a1"})
        readers.enter_context(reading(database))
        assert Place.STORE_LOG in {one["place"] for one in erase(first)["to_come"]}
        assert not is_wiped(first)
        first.end(signal.SIGKILL)
        with serving(tmp_path / "none", **variables) as second:
            assert not is_wiped(second)
            assert in_files(log)
            readers.close()
            eventually(lambda: is_wiped(second))
            assert not in_files(database, log)
