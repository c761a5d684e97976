from __future__ import annotations

import json
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from app.events.event import MICROSECONDS, Event
from app.events.event_types import OPINION_TYPES, EventType
from app.store.address import open_store
from app.store.upkeep import MaintainableStore
from tests.postgres import PostgresServer
from tests.training.cli.commands import error_of, exit_code
from training.cli import main

ROOT = Path(__file__).parents[3]
PASSING_TYPES = set(EventType) - set(OPINION_TYPES)
DAY = 86_400 * MICROSECONDS


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store with plays, and more, of the last ten days, and of ten days a year ago."""
    url = f"sqlite:///{tmp_path / 'encore.db'}"
    store = open_store(url)
    now = time.time_ns() // 1000
    for ago in (*range(10), *range(365, 375)):
        at = now - ago * DAY
        store.append([Event(f"u{ago}", "a", timestamp=at)], at)
        store.append([Event(f"u{ago}", "b", EventType.DISLIKE, timestamp=at)], at)
    store.erase("u0", now)
    store.close()
    return url


@pytest.fixture
def dump(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = tmp_path / "dump.jsonl"
    assert main(["events", "export", str(path), "--events", url]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(
        f"38 events, 1 erased user and 0 unavailable artists written to {path}; "
    )
    return path


def opened(path: Path) -> MaintainableStore:
    return open_store(f"sqlite:///{path}", must_exist=True)


def test_show_says_what_there_is(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["events", "show", "--events", url]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    numbers = dict.fromkeys(EventType, 0) | {EventType.PLAY: 19, EventType.DISLIKE: 19}
    listed = " ".join(f"{kind.plural} {number}" for kind, number in numbers.items())
    assert f"{listed} users 19 artists 2 first event 20" in shown
    assert "erased users 1 unavailable artists 0 last number 41" in shown
    # Where the service looks is where the commands look.
    monkeypatch.setenv("ENCORE_DATABASE_URL", url)
    assert main(["events", "show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["events"] == numbers
    assert (shown["users"], shown["last_sequence"], shown["origins"]) == (19, 41, {})


def test_what_is_pruned_is_said_of_every_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "prune", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    page = " ".join((ROOT / "docs" / "operations.md").read_text().split())
    deleted = shown.partition("Deletes old ")[2].partition(" permanently.")[0]
    spared = shown.partition("--all-types")[2].partition("--dry-run")[0].lower()
    by_page = re.search(r"`prune` deletes (.+?) for good\W+(.+?) stay\b", page)
    assert by_page is not None
    for words, types in (
        (deleted, PASSING_TYPES),
        (by_page[1], PASSING_TYPES),
        (spared, OPINION_TYPES),
        (by_page[2].lower(), OPINION_TYPES),
    ):
        said = set(re.findall(r"\w+", words))
        assert {kind for kind in EventType if kind.plural in said} == set(types), words


@pytest.mark.slow
@pytest.mark.parametrize(
    "tokens",
    [
        ["show"],
        ["export", "out.jsonl"],
        ["import", "in.jsonl"],
        ["prune", "--older-than", "1"],
        ["compact"],
        ["backup", "backup.db"],
        ["renew"],
    ],
    ids=" ".join,
)
def test_a_file_found_by_chance_is_no_event_store(
    tokens: list[str],
    dump: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Was wrong: an encore.db in the working directory was taken, whosever it was.
    monkeypatch.chdir(tmp_path)
    assert (tmp_path / "encore.db").exists()
    dump.rename("in.jsonl")
    monkeypatch.setenv("ENCORE_DATABASE_URL", "")
    before = sorted(path.name for path in tmp_path.iterdir())
    assert main(["events", *tokens]) == 1
    assert "which event store? Give --events URL, or set ENCORE_DATABASE_URL" in error_of(capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.slow
def test_events_go_from_sqlite_to_postgresql_and_back(
    url: str,
    dump: Path,
    tmp_path: Path,
    postgres: PostgresServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    database = postgres.new_database()
    assert main(["events", "show", "--events", database]) == 1
    assert "there is no event store in PostgreSQL" in error_of(capsys)
    assert main(["events", "import", str(dump), "--events", database]) == 0
    out = capsys.readouterr().out
    assert out == "38 events stored, 0 already there; 1 user erased, who had 0 events here\n"
    assert main(["events", "import", str(dump), "--events", database, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["stored"], again["repeated"], again["renumbered"]) == (0, 38, 0)
    back = tmp_path / "back.jsonl.gz"
    assert main(["events", "export", str(back), "--events", database, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["events"] == 38
    assert main(["events", "import", str(back), "--events", url]) == 0
    assert capsys.readouterr().out == "0 events stored, 38 already there\n"


def test_an_import_beside_other_events_says_that_they_count_again(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target.db"
    store = open_store(f"sqlite:///{target}")
    store.append([Event("u1", "c")], 1)
    store.close()
    assert main(["events", "import", str(dump), "--events", f"sqlite:///{target}"]) == 0
    assert "38 events got a new number" in error_of(capsys)


def test_an_import_tells_of_ids_that_are_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, artist in (("one.db", "a"), ("two.db", "b")):
        store = open_store(f"sqlite:///{tmp_path / name}")
        store.append([Event("u", artist, event_id="e"), Event("u", artist)], 1)
        store.close()
    dump = str(tmp_path / "dump.jsonl")
    assert main(["events", "export", dump, "--events", f"sqlite:///{tmp_path / 'one.db'}"]) == 0
    assert main(["events", "import", dump, "--events", f"sqlite:///{tmp_path / 'two.db'}"]) == 1
    assert "1 event of" in (message := error_of(capsys))
    assert "has other events with the same ids" in message


def test_a_dump_that_is_damaged_is_named(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump.write_bytes(dump.read_bytes()[:-30])
    target = tmp_path / "target.db"
    assert main(["events", "import", str(dump), "--events", f"sqlite:///{target}"]) == 1
    assert "dump.jsonl, line 40: is no JSON" in error_of(capsys)
    assert not target.exists()


@pytest.mark.parametrize("command", ["export", "import"])
def test_another_kind_of_file_is_refused(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main(["events", command, str(tmp_path / "dump.csv"), "--events", url]) == 1
    assert "expected a name that ends in .jsonl or .jsonl.gz" in error_of(capsys)


@pytest.mark.slow
def test_prune_takes_old_plays_and_leaves_opinions(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prune = ["events", "prune", "--older-than", "300", "--events", url]
    assert main([*prune, "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("10 events from before 20")
    store = opened(tmp_path / "encore.db")
    assert sum(store.statistics().events.values()) == 38
    assert main([*prune, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["events"] == 10
    assert store.statistics().events == {EventType.PLAY: 9, EventType.DISLIKE: 19}
    assert main(prune) == 0
    assert capsys.readouterr().out.startswith("0 events from before")
    assert main([*prune, "--all-types"]) == 0
    assert store.statistics().events == {EventType.PLAY: 9, EventType.DISLIKE: 9}
    store.close()


@pytest.mark.parametrize("days", ["0", "-1", "nan", "soon"])
def test_prune_wants_an_age(url: str, days: str) -> None:
    assert exit_code("events", "prune", "--older-than", days, "--events", url) == 2
    assert exit_code("events", "prune", "--events", url) == 2


def test_a_backup_is_made_beside_a_service_and_shown(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, copy = opened(tmp_path / "encore.db"), tmp_path / "backup.db"
    store.append([Event("u1", "c")], 1)  # in the log only
    assert main(["events", "backup", str(copy), "--events", url]) == 0
    assert capsys.readouterr().out == f"{copy} has 39 events, checked\n"
    assert main(["events", "backup", str(copy), "--events", url, "--overwrite", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["events"]["play"] == 20
    store.close()


@pytest.mark.slow
def test_a_backup_that_cannot_be_says_why(
    url: str, tmp_path: Path, postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    backup = ["events", "backup", str(tmp_path / "none" / "backup.db"), "--events", url]
    assert main(backup) == 1
    assert "there is no such folder" in error_of(capsys)
    itself = ["events", "backup", str(tmp_path / "encore.db"), "--overwrite"]
    assert main([*itself, "--events", url]) == 1
    assert "is the event store itself" in error_of(capsys)
    database = postgres.new_database()
    open_store(database).close()
    assert main(["events", "backup", str(tmp_path / "backup.db"), "--events", database]) == 1
    assert "pg_dump" in error_of(capsys)
    assert not (tmp_path / "backup.db").exists()


def test_renew_gives_another_id(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = opened(tmp_path / "encore.db")
    old = store.id
    assert main(["events", "renew", "--events", url]) == 0
    shown_text = capsys.readouterr().out
    assert shown_text.startswith(f"the id of the store was {old} and is ")
    assert "recognise them up to number 41" in shown_text
    store.last_sequence()
    assert store.id != old
    assert main(["events", "renew", "--events", url, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["former"], shown["shared_up_to"]) == (store.id, 41)
    store.close()
    assert main(["events", "show", "--events", url]) == 0
    assert f"those of {old} up to 41" in " ".join(capsys.readouterr().out.split())
    assert main(["events", "renew", "--events", url, "--shared-up-to", "17"]) == 0
    assert "recognise them up to number 17" in capsys.readouterr().out
    assert exit_code("events", "renew", "--events", url, "--shared-up-to", "-1") == 2


def test_a_store_is_compacted_while_somebody_reads_it(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "encore.db"
    assert main(["events", "compact", "--events", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"is_wiped": True}
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        assert main(["events", "compact", "--events", url]) == 0
        shown = capsys.readouterr()
        assert shown.out == "the event store was rewritten\n"
        assert "stay in its write-ahead log until its readers end" in " ".join(shown.err.split())
    store = opened(path)
    assert sum(store.statistics().events.values()) == 38
    store.close()
