from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from random import Random
from threading import Event as Flag
from typing import Any, cast

import pytest

from app.errors import StoreUnavailable
from app.events.event import Event
from app.events.event_types import EventType
from app.store.interface import Status
from app.store.migrations import MIGRATIONS
from app.store.sqlite import SqliteEventStore
from tests.leftovers import assert_nothing_is_left

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "encore.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteEventStore]:
    store = SqliteEventStore(path)
    yield store
    store.close()


def trouble(use: Callable[[], Any]) -> StoreUnavailable:
    with pytest.raises(StoreUnavailable) as caught:
        use()
    return caught.value


def append(store: SqliteEventStore, *artists: str) -> list[int]:
    outcomes = store.append([Event("u", artist) for artist in artists], 1)
    assert {outcome.status for outcome in outcomes} == {Status.STORED}
    return [outcome.sequence for outcome in outcomes]


def test_an_acknowledged_event_survives_a_power_cut(store: SqliteEventStore) -> None:
    with store._writing() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_nothing_of_an_erased_user_is_left_in_the_file(store: SqliteEventStore, path: Path) -> None:
    name, artist = "somebody who left", "what they played"
    store.append([Event(name, artist, artist_name=artist) for _ in range(300)], 1)
    store.append([Event("u", "a")], 1)
    assert store.erase(name, 2) == 300
    store.close()
    content = path.read_bytes()
    assert name.encode() not in content
    assert artist.encode() not in content


def open_new(path: str, are_ready: Barrier, results: SimpleQueue[str]) -> None:
    are_ready.wait()
    try:
        SqliteEventStore(Path(path)).close()
    except StoreUnavailable as error:
        results.put(str(error))
    else:
        results.put("opened")


@pytest.mark.slow
def test_several_workers_may_make_a_file_at_the_same_time(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: SimpleQueue[str] = context.SimpleQueue()
    are_ready = context.Barrier(3)
    for number in range(8):
        path = str(tmp_path / f"{number}.db")
        workers = [
            context.Process(target=open_new, args=(path, are_ready, results)) for _ in range(3)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert {results.get() for _ in workers} == {"opened"}


def test_readers_cannot_write(store: SqliteEventStore) -> None:
    def write() -> None:
        with store._reading() as connection:
            connection.execute("UPDATE event_store SET last_sequence = 9")

    assert trouble(write).reason == "readonly"
    assert store.last_sequence() == 0


def test_only_its_owner_can_read_it(store: SqliteEventStore, path: Path) -> None:
    append(store, "a")
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["encore.db", "encore.db-shm", "encore.db-wal"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_closing_leaves_one_file(store: SqliteEventStore, path: Path) -> None:
    append(store, "a")
    store.events_of("u", limit=1)
    store.close()
    assert [file.name for file in path.parent.iterdir()] == ["encore.db"]


def test_a_file_that_is_not_sqlite_is_refused_and_unchanged(path: Path) -> None:
    path.write_bytes(b"once upon a time " * 1000)
    error = trouble(lambda: SqliteEventStore(path))
    assert error.reason == "corrupt"
    assert str(path) in str(error)
    assert path.read_bytes() == b"once upon a time " * 1000


def test_a_damaged_file_is_refused(store: SqliteEventStore, path: Path) -> None:
    append(store, *map(str, range(500)))
    store.close()
    content = bytearray(path.read_bytes())
    content[4096 * 2 :] = b"\xff" * (len(content) - 4096 * 2)
    path.write_bytes(content)

    def use() -> None:
        damaged = SqliteEventStore(path)
        try:
            damaged.events_of("u", limit=600)
            damaged.append([Event("u", "a")], 1)
        finally:
            damaged.close()

    assert trouble(use).reason == "corrupt"


def test_another_database_is_not_an_event_store(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE event_store (something)")
    other.close()
    assert trouble(lambda: SqliteEventStore(path)).reason == "failed"


def test_a_file_that_is_refused_is_let_go_of(store: SqliteEventStore, path: Path) -> None:
    with store._writing() as connection:
        later = f"INSERT INTO event_store_migrations VALUES ({len(MIGRATIONS) + 1})"  # noqa: S608
        connection.execute(later)
    store.close()
    error = trouble(lambda: SqliteEventStore(path))
    assert error.reason == "newer"
    # The last connection to be closed takes the log with it.
    assert [file.name for file in path.parent.iterdir()] == ["encore.db"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    error = trouble(lambda: SqliteEventStore(tmp_path / "none" / "encore.db"))
    assert error.reason == "unreachable"
    assert "its folder has to exist" in str(error)


def test_a_lock_that_another_holds_is_waited_for_and_then_told(
    store: SqliteEventStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(store, "a")
    store.close()
    monkeypatch.setattr("app.store.sqlite._BUSY_SECONDS", 0.05)
    patient = SqliteEventStore(path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert trouble(lambda: append(patient, "b")).reason == "locked"
    assert patient.count_of("u") == 1
    holder.execute("ROLLBACK")
    holder.close()
    assert append(patient, "b") == [2]
    patient.close()


@pytest.mark.parametrize("replace", [True, False])
def test_it_does_not_write_to_a_moved_or_deleted_file(
    store: SqliteEventStore, path: Path, replace: bool
) -> None:
    append(store, "a")
    aside = path.with_name("aside")
    path.rename(aside)
    if replace:
        shutil.copy(aside, path)
    assert trouble(lambda: append(store, "b")).reason == "replaced"
    assert trouble(lambda: store.count_of("u")).reason == "replaced"
    assert path.exists() is replace
    aside.rename(path)
    assert append(store, "b") == [2]


def test_a_copy_is_another_place(store: SqliteEventStore, path: Path) -> None:
    append(store, "a")
    store.close()
    copied = path.with_name("copy.db")
    shutil.copy(path, copied)
    copy = SqliteEventStore(copied)
    assert copy.id == store.id
    assert copy.place != store.place
    copy.close()


def test_a_backup_is_whole_while_others_write(store: SqliteEventStore, path: Path) -> None:
    append(store, *map(str, range(2000)))
    is_done = Flag()

    def write() -> None:
        while not is_done.is_set():
            append(store, "a", "b", "c")

    copies = [path.with_name(f"{number}.db") for number in range(3)]
    with ThreadPoolExecutor() as threads:
        writing = threads.submit(write)
        try:
            for one in copies:
                store.backup(one)
        finally:
            is_done.set()
        writing.result()
    for one in copies:
        copy = SqliteEventStore(one)
        numbers = [event.sequence for event in copy.events_of("u", limit=10**6)]
        assert numbers == list(range(copy.last_sequence(), 0, -1))
        assert copy.last_sequence() % 3 == 2000 % 3
        copy.close()
    assert store.last_sequence() > 2000


def test_only_its_owner_can_read_a_backup(store: SqliteEventStore, path: Path) -> None:
    append(store, "a")
    target = path.with_name("backup.db")
    target.write_text("the one before")
    target.chmod(0o644)
    store.backup(target)
    assert target.stat().st_mode & 0o777 == 0o600
    names = sorted(file.name for file in path.parent.iterdir())
    assert names == ["backup.db", "encore.db", "encore.db-shm", "encore.db-wal"]
    with sqlite3.connect(f"{target.as_uri()}?mode=ro", uri=True) as copy:
        assert copy.execute("SELECT count(*) FROM events").fetchone() == (1,)
    copy.close()


def test_a_backup_that_fails_leaves_the_one_before(store: SqliteEventStore, path: Path) -> None:
    target = path.with_name("backup.db")
    append(store, *map(str, range(500)))
    store.backup(target)
    before = target.read_bytes()
    assert "is the event store itself" in str(trouble(lambda: store.backup(path)))
    store.close()
    content = bytearray(path.read_bytes())
    content[4096 * 20 :] = b"\xff" * (len(content) - 4096 * 20)
    path.write_bytes(content)
    damaged = SqliteEventStore(path)
    assert trouble(lambda: damaged.backup(target)).reason == "corrupt"
    damaged.close()
    assert target.read_bytes() == before
    with pytest.raises(OSError, match="No such file"):
        damaged.backup(path.parent / "none" / "backup.db")
    assert sorted(file.name for file in path.parent.iterdir()) == ["backup.db", "encore.db"]


def test_a_backup_does_not_go_where_another_one_is_in_use(
    store: SqliteEventStore, path: Path
) -> None:
    append(store, "a")
    target = path.with_name("backup.db")
    other = SqliteEventStore(target)
    append(other, "b", "c")
    assert "is in use, or was not closed" in str(trouble(lambda: store.backup(target)))
    assert other.last_sequence() == 2
    other.close()
    store.backup(target)
    copy = SqliteEventStore(target)
    assert copy.last_sequence() == 1
    copy.close()


def test_pruning_waits_for_no_reader(
    store: SqliteEventStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.sqlite._BUSY_SECONDS", 3600.0)
    patient = SqliteEventStore(path)
    append(patient, "a", "b")
    with store._reading() as reader:
        assert reader.execute("SELECT count(*) FROM events").fetchone() == (2,)
        assert patient.prune(2, [EventType.PLAY], limit=10) == 2
        assert patient.erase("u", 3) == 0
        assert reader.execute("SELECT count(*) FROM events").fetchone() == (2,)
    with patient._writing() as connection:
        assert connection.execute("PRAGMA busy_timeout").fetchone() == (3_600_000,)
    patient.close()


@contextmanager
def held_by_another(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def away(path: Path) -> Iterator[None]:
    aside = path.rename(path.with_name("aside"))
    yield
    aside.rename(path)


@pytest.mark.slow
def test_a_store_in_trouble_leaves_nothing_open(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.sqlite._BUSY_SECONDS", 0.01)
    target = path.with_name("backup.db")

    def use() -> None:
        with closing(SqliteEventStore(path)) as store:
            append(store, "a")
            with held_by_another(path):
                assert trouble(lambda: append(store, "b")).reason == "locked"
                assert trouble(lambda: SqliteEventStore(path)).reason == "locked"
            with away(path):
                assert trouble(lambda: append(store, "b")).reason == "replaced"
            assert store.backup(target).last_sequence == store.last_sequence()
        with pytest.raises(StoreUnavailable, match="closed"):
            store.backup(target)

    assert_nothing_is_left(use)


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\0" + b"\xff" * 9000])
def test_a_file_that_is_not_a_store_is_closed(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert_nothing_is_left(lambda: trouble(lambda: SqliteEventStore(path)))
    nowhere = path / "none" / "encore.db"
    assert_nothing_is_left(lambda: trouble(lambda: SqliteEventStore(nowhere)))


LITTLE_ROOM = """
import resource, signal, sys
from pathlib import Path
from app.errors import StoreUnavailable
from app.store.sqlite import SqliteEventStore

store = SqliteEventStore(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    store.backup(Path(sys.argv[2]))
except (StoreUnavailable, OSError) as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 8192, 100_000])
def test_a_backup_without_room_says_where(store: SqliteEventStore, path: Path, room: int) -> None:
    append(store, *map(str, range(3000)))
    store.close()
    target = path.with_name("backup.db")
    done = subprocess.run(
        [sys.executable, "-c", LITTLE_ROOM, str(path), str(target), str(room)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"cannot be copied to {target}" in done.stdout
    assert [file.name for file in path.parent.iterdir()] == ["encore.db"]


# Fills a file system of its own, or as much as the process may write.
FULL_DISK = """
import json, resource, signal, sys
from pathlib import Path
from app.errors import StoreUnavailable
from app.events.event import Event, EventType
from app.store.sqlite import SqliteEventStore

path, is_limited = Path(sys.argv[1]), sys.argv[2] == "limit"
store = SqliteEventStore(path)
if is_limited:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, resource.RLIM_INFINITY))
acknowledged, reasons = [], []
for batch in range(1000):
    ids = [f"{batch} {number}" for number in range(100)]
    try:
        store.append([Event("u", "a", event_id=one) for one in ids], 1)
    except StoreUnavailable as error:
        reasons.append(error.reason)
        if len(reasons) == 3:
            break
    else:
        acknowledged += ids
there = {one.event.event_id for one in store.events_of("u", limit=10**6)}
if is_limited:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
else:
    (path.parent / "ballast").unlink()
    for leftover in path.parent.glob("ballast*"):
        leftover.unlink()
again = store.append([Event("u", "b", event_id="again")], 1)
numbers = sorted(one.sequence for one in store.events_of("u", limit=10**6))
print(json.dumps({
    "acknowledged": len(acknowledged), "missing": len(set(acknowledged) - there),
    "more": len(there - set(acknowledged)), "reasons": reasons, "again": again[0].status,
    "gaps": numbers != list(range(1, len(numbers) + 1)),
}))
store.close()
"""


def full_disk(path: Path, how: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), how],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    import json  # noqa: PLC0415

    return cast("dict[str, Any]", json.loads(done.stdout))


@pytest.mark.slow
def test_on_a_full_disk_nothing_acknowledged_is_lost_and_it_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    result = full_disk(tmp_path / "encore.db", "limit")
    assert result["acknowledged"] > 0
    assert (result["missing"], result["more"], result["gaps"]) == (0, 0, False)
    assert len(result["reasons"]) == 3
    assert result["again"] == "stored"


def can_mount(folder: Path) -> bool:
    if os.getuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_file_system_without_room_is_called_full(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    is_mounted = can_mount(folder)
    try:
        if is_mounted:
            (folder / "ballast").write_bytes(b"x" * 2**20)
        result = full_disk(folder / "encore.db", "mount" if is_mounted else "limit")
    finally:
        if is_mounted:
            subprocess.run(["umount", str(folder)], check=True)
    assert set(result["reasons"]) <= {"full", "unreachable", "failed"}
    assert (result["missing"], result["more"], result["gaps"]) == (0, 0, False)
    if is_mounted:
        assert set(result["reasons"]) == {"full"}


def remains_of(users: Sequence[str], path: Path) -> list[str]:
    content = path.read_bytes()
    return [user for user in users if user.encode() in content]


@pytest.mark.slow
def test_nothing_of_erased_users_is_left_in_unused_parts_of_pages(
    store: SqliteEventStore, path: Path
) -> None:
    # Was wrong: SQLite overwrites what it deletes, but not what it has moved to another page.
    draw = Random(0)
    users = [f"somebody-{number:04d}-{'y' * draw.randint(0, 30)}" for number in range(300)]
    for batch in range(60):
        chosen = draw.choices(users, k=100)
        names = ["N" * draw.randint(1, 400) for _ in chosen]
        events = [
            Event(user, f"artist-{draw.randint(0, 500)}", artist_name=name)
            for user, name in zip(chosen, names, strict=True)
        ]
        store.append(events, batch)
    erased = users[100:140]
    for user in erased:
        store.erase(user, 1000)
    backup = path.with_name("backup.db")
    store.backup(backup)
    assert remains_of(erased, backup) == []
    assert remains_of(users[:5], backup) == users[:5]
    store.compact()
    assert store.is_wiped
    assert remains_of(erased, path) == []
    assert remains_of(users[:5], path) == users[:5]


def is_wiped(store: SqliteEventStore) -> bool:
    store.wipe()
    return store.is_wiped


def test_a_reader_that_does_not_end_is_named_once(
    store: SqliteEventStore,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("app.store.sqlite._LONG_READ_SECONDS", 0)
    append(store, "a")
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        store.erase("u", 2)
        for _ in range(3):
            assert not is_wiped(store)
    assert is_wiped(store)
    assert caplog.text.count(f"is still in {path}-wal") == 1
