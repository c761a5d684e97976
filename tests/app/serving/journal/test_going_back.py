from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from app.errors import StoreUnavailable
from app.events.event import Event
from app.model.watermark import Watermark
from app.serving.journal.journal import Journal
from app.store.interface import Status
from app.store.keepsake import Keepsake
from app.store.sqlite import SqliteEventStore
from tests.app.serving.journal.harness import RULES, eventually, learned_by, run, units


def reasons(journal: Journal) -> list[str]:
    return [trouble.reason for trouble in journal.troubles]


def go_back(path: Path, copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as older, closing(sqlite3.connect(path)) as store:
        older.backup(store)


def save(path: Path) -> Path:
    copy = path.with_name("copy.db")
    with closing(sqlite3.connect(path)) as store, closing(sqlite3.connect(copy)) as older:
        store.backup(older)
    return copy


@pytest.mark.slow
def test_an_event_that_is_stored_before_anybody_looks_counts_when_it_is_acknowledged(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(journal: Journal) -> None:
        await journal.append([Event("u", "a")])
        copy = save(path)
        await journal.append([Event("u", "b")])
        assert units(await journal.activity_of("u", None)) == {"a": 1.0, "b": 1.0}
        monkeypatch.setattr(journal._keeper, "_look", lambda: None)  # as if it were asleep
        go_back(path, copy)
        (outcome,) = await journal.append([Event("u", "c")])
        assert (outcome.status, outcome.sequence) == (Status.STORED, 2)
        assert units(await journal.activity_of("u", None)) == {"a": 1.0, "c": 1.0}
        assert reasons(journal) == ["went_back"]

    run(path, use)


@pytest.mark.slow
def test_what_a_host_knows_follows_a_store_that_went_back(path: Path, tmp_path: Path) -> None:
    async def main() -> None:
        keepsake = Keepsake("address", tmp_path)
        journal = Journal(partial(SqliteEventStore, path), RULES, keepsake)
        await asyncio.to_thread(journal.start)
        await journal.set_available("a", is_available=False)
        await journal.append([Event("u", "a"), Event("v", "a")])
        copy = save(path)
        await journal.erase("u")
        await journal.set_available("a", is_available=True)
        await journal.set_available("b", is_available=False)
        version = journal.stamps.availability[0]
        await eventually(lambda: Keepsake("address", tmp_path).load().unavailable == ("b",))
        go_back(path, copy)
        await eventually(lambda: reasons(journal) == ["went_back"])
        assert "erase 1 users again" in str(journal.troubles[0])
        # A higher number, by which requests notice it.
        assert journal.stamps.availability[0] > version
        assert (await journal.unavailable_artists())[1] == ["a"]
        await eventually(lambda: Keepsake("address", tmp_path).load().unavailable == ("a",))
        assert not Keepsake("address", tmp_path).load().erased
        await journal.close()

    asyncio.run(main())


@pytest.mark.slow
def test_a_store_that_ends_before_what_the_model_has_learned_gets_another_id(path: Path) -> None:
    async def use(journal: Journal) -> None:
        await journal.append([Event("u", "a"), Event("u", "b")])
        store = journal.store
        model = learned_by(["u", "v"], Watermark(store.id, 3))
        assert journal.learned(store, "u", model) == 0
        journal.expect(model)
        await eventually(lambda: reasons(journal) == ["went_back"])
        assert f"the model {model.version} has learned events up to 3" in str(journal.troubles[0])
        # Number 3 is no event that the model has learned.
        await journal.append([Event("u", "c")])
        assert journal.learned(store, "u", model) == 0
        assert units(await journal.activity_of("u", model)) == {"a": 1.0, "b": 1.0, "c": 1.0}
        # One that learned the store as it is now is up to date.
        later = learned_by(["u", "v"], Watermark(store.id, 3))
        journal.expect(later)
        assert journal.learned(store, "u", later) == 3

    run(path, use)


@pytest.mark.slow
def test_tables_of_a_former_course_are_removed(path: Path) -> None:
    async def use(journal: Journal) -> None:
        await journal.append([Event("u", "a")])
        copy = save(path)
        await journal.append([Event("u", "b")])
        former = journal.stamps._path  # type: ignore[union-attr]
        go_back(path, copy)
        await eventually(lambda: reasons(journal) == ["went_back"])
        assert journal.stamps._path != former  # type: ignore[union-attr]
        await eventually(lambda: not former.exists())

    run(path, use)


@contextmanager
def as_nobody() -> Iterator[Path]:
    """Gives up the rights of root, which no permission stops; yields a folder to write to."""
    folder = Path(tempfile.mkdtemp(prefix="encore-test-nobody-"))
    is_root = os.geteuid() == 0
    try:
        if is_root:
            os.chown(folder, 65534, 65534)
            os.setresuid(65534, 65534, 0)
        yield folder
    finally:
        if is_root:
            os.setresuid(0, 0, 0)
        folder.chmod(0o700)
        shutil.rmtree(folder)


@pytest.mark.slow
def test_a_service_beside_a_read_only_file_reads_it_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with as_nobody() as folder:
        monkeypatch.setattr("app.store.stamps.shared_folder", lambda: folder)
        path = folder / "encore.db"
        # Still open somewhere, as after a kill: SQLite wants the log beside it.
        holder = SqliteEventStore(path)
        holder.append([Event("u", "a")], 1)
        files = [path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))]

        async def use(journal: Journal) -> None:
            assert reasons(journal) == ["readonly"]
            with pytest.raises(StoreUnavailable, match="let the service write to the file"):
                await journal.append([Event("u", "b")])
            assert units(await journal.activity_of("u", None)) == {"a": 1.0}
            for file in files:
                file.chmod(0o600)
            await eventually(lambda: not journal.troubles)
            await journal.append([Event("u", "b")])
            assert units(await journal.activity_of("u", None)) == {"a": 1.0, "b": 1.0}

        path.chmod(0o400)
        run(path, use)
        holder.close()


@pytest.mark.slow
def test_nothing_is_written_to_a_store_that_is_damaged(path: Path) -> None:
    async def use(journal: Journal) -> None:
        await journal.append([Event("u", "a")])
        with path.open("r+b") as file:
            file.write(b"nonsense" * 2**12)
        log = path.with_name(f"{path.name}-wal")
        with log.open("r+b") as file:
            file.truncate(100)
        await eventually(lambda: "corrupt" in reasons(journal))
        with pytest.raises(StoreUnavailable, match="restore it"):
            await journal.append([Event("u", "b")])

    run(path, use)
