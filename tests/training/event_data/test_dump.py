from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.events.event import Event
from app.events.event_types import EventType
from app.store.address import open_store
from app.store.entries import Absorbed
from app.store.upkeep import MaintainableStore
from training.errors import DatasetError, TrainingError, WriteError
from training.event_data.dump import Dumped, check_dump, dump, load

OpenStore = Callable[[str], MaintainableStore]


@pytest.fixture
def open_file(tmp_path: Path) -> Iterator[OpenStore]:
    opened: list[MaintainableStore] = []

    def open_named(name: str) -> MaintainableStore:
        opened.append(open_store(f"sqlite:///{tmp_path / name}"))
        return opened[-1]

    yield open_named
    for store in opened:
        store.close()


@pytest.fixture
def store(open_file: OpenStore) -> MaintainableStore:
    """A store with something of everything."""
    store = open_file("encore.db")
    store.append(
        [
            Event("u", "a", timestamp=1_760_000_000_123_456),
            Event("u", "a"),
            Event('"é\n', "🎸", EventType.LIKE, event_id="e", artist_name="Ünï"),
            Event("gone", "a"),
            Event("u", "b", plays=0.25),
        ],
        1_770_000_000_000_001,
    )
    store.erase("gone", 1_770_000_000_000_002)
    store.set_available("a", is_available=False)
    return store


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def content_of(store: MaintainableStore) -> tuple[object, ...]:
    entries = store.entries_between(0, store.last_sequence(), limit=10**6)
    return entries, store.unavailable_artists()[1], store.last_sequence()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dump.jsonl", "dump.jsonl.gz"])
def test_what_is_dumped_is_loaded_as_it_was(
    store: MaintainableStore, open_file: OpenStore, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    assert dump(store, path) == Dumped(store.id, 6, 4, 1, 1)
    assert path.stat().st_mode & 0o777 == 0o600
    other = open_file("other.db")
    loaded = load(other, check_dump(path))
    assert loaded.absorbed == Absorbed(stored=4, users_erased=1)
    assert loaded.artists_removed == 1
    assert content_of(other) == content_of(store)
    again = load(other, check_dump(path))
    assert again.absorbed == Absorbed(repeated=4)
    assert again.artists_removed == 0
    assert content_of(other) == content_of(store)
    assert not list(tmp_path.glob(".*"))


def test_a_dump_is_lines_that_people_can_read(store: MaintainableStore, tmp_path: Path) -> None:
    path = tmp_path / "dump.jsonl"
    dump(store, path)
    head, first, *_, unavailable, end = lines_of(path)
    assert head == {"encore_events": 1, "store": store.id, "origins": {}}
    assert first == {
        "sequence": 1,
        "key": Event("u", "a", timestamp=1_760_000_000_123_456).key().hex(),
        "received_at": "2026-02-02T02:40:00.000001+00:00",
        "user_id": "u",
        "artist_id": "a",
        "type": "play",
        "plays": 1.0,
        "timestamp": "2025-10-09T08:53:20.123456+00:00",
    }
    assert unavailable == {"unavailable_artist": "a"}
    assert end == {"up_to": 6, "lines": 6}
    assert "gone" not in path.read_text()


def test_the_same_state_is_the_same_bytes(store: MaintainableStore, tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl.gz", tmp_path / "second.jsonl.gz"
    dump(store, first)
    dump(store, second)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
def test_long_stores_go_some_events_at_a_time(
    store: MaintainableStore, open_file: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.event_data.dump._AT_ONCE", 2)
    store.append([Event("v", str(number)) for number in range(5)], 1_770_000_000_000_003)
    path, other = tmp_path / "dump.jsonl", open_file("other.db")
    written: list[int] = []
    dump(store, path, written.append)
    assert sum(written) == store.last_sequence() == 11
    checked: list[int] = []
    found = check_dump(path, checked.append)
    read: list[int] = []
    load(other, found, read.append)
    assert content_of(other) == content_of(store)
    assert sum(checked) == sum(read) == found.lines + 2 == len(lines_of(path))


def test_whoever_is_erased_meanwhile_is_erased_where_it_is_loaded(
    store: MaintainableStore, open_file: OpenStore, tmp_path: Path
) -> None:
    steps: list[int] = []

    def erase(step: int) -> None:
        if not steps:
            store.erase("u", 1_770_000_000_000_009)
            store.append([Event("late", "a")], 1_770_000_000_000_010)
        steps.append(step)

    path = tmp_path / "dump.jsonl"
    dump(store, path, erase)
    assert '"user_id": "u"' in path.read_text()
    other = open_file("other.db")
    absorbed = load(other, check_dump(path)).absorbed
    assert (absorbed.users_erased, absorbed.of_erased) == (2, 3)
    assert (other.count_of("u"), other.tombstone_of("u")) == (0, 7)
    # What came after the dump had begun may come with the next one.
    assert (other.count_of("late"), other.last_sequence()) == (0, 7)
    dump(store, path)
    load(other, check_dump(path))
    assert content_of(other) == content_of(store)


def test_a_store_that_was_renewed_while_it_was_empty_goes_along(
    open_file: OpenStore, tmp_path: Path
) -> None:
    store, path = open_file("encore.db"), tmp_path / "dump.jsonl"
    store.renew()
    store.append([Event("u", "a")], 1)
    dump(store, path)
    assert lines_of(path)[0]["origins"] == {}
    assert load(open_file("other.db"), check_dump(path)).absorbed.stored == 1


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def changed(line: int, **fields: object) -> Callable[[list[dict[str, Any]]], None]:
    def change(lines: list[dict[str, Any]]) -> None:
        lines[line] |= fields

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed(1, plays=-1), "line 2: plays: input should be greater than 0, found -1"),
        (changed(1, plays=float("nan")), "line 2: plays: input should be"),
        (changed(1, type="hum"), "line 2: type: input should be 'play', 'skip', "),
        (changed(1, user_id="x" * 300), "line 2: user_id: "),
        (changed(1, artist_id="b"), "line 2: key: is not that of this event"),
        (changed(2, key="xyz"), "line 3: key: value error, should be 32 digits, 0 to f"),
        (changed(2, sequence=1), "line 3: sequence: is out of order"),
        (changed(2, received_at="2026-01-01T00:00:00"), "line 3: received_at: value error, has no"),
        (changed(2, more=1), "line 3: more: "),
        (changed(5, erased_user=7), "line 6: erased_user: "),
        (changed(0, encore_events=2), "line 1: encore_events: input should be 1, found 2"),
        (changed(7, lines=9), "is incomplete"),
        (changed(7, up_to=3), "is incomplete"),
        (lambda lines: lines.pop(), "is incomplete"),
        (lambda lines: lines.pop(2), "is incomplete"),
        (lambda lines: lines.append(lines[1]), "line 9: sequence: is out of order"),
        (lambda lines: lines.pop(0), "is no event dump; `events export` writes one"),
        (lambda lines: lines.clear(), "is no event dump"),
        (lambda lines: lines.insert(2, {}), "line 3: is no line of an event dump"),
        (lambda lines: lines.insert(2, {"user_id": "x" * 50_000}), "line 3: is too long"),
    ],
)
def test_a_dump_that_was_tampered_with_is_refused(
    store: MaintainableStore,
    tmp_path: Path,
    change: Callable[[list[dict[str, Any]]], None],
    message: str,
) -> None:
    path = tmp_path / "dump.jsonl"
    dump(store, path)
    lines = lines_of(path)
    change(lines)
    write(path, lines)
    with pytest.raises(DatasetError) as caught:
        check_dump(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\n", "line 1: is no JSON; is the file damaged?"),
        (b"[1]\n", "line 1: is no line of an event dump"),
        (b"{", "line 1: is no JSON"),
        (b"", "is no event dump"),
    ],
)
def test_what_is_no_dump_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "dump.jsonl"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message.replace("?", r"\?")):
        check_dump(path)


def test_a_compressed_dump_that_is_cut_short_or_none_is_refused(
    store: MaintainableStore, tmp_path: Path
) -> None:
    path = tmp_path / "dump.jsonl.gz"
    dump(store, path)
    whole = path.read_bytes()
    assert b"encore_events" in gzip.decompress(whole)
    for content in (whole[:-20], whole[: len(whole) // 2], b"plain text", whole[:40] + b"\0" * 99):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"is damaged|is no event dump"):
            check_dump(path)


def test_files_that_cannot_be_are_named(
    store: MaintainableStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TrainingError, match=r"expected a name that ends in \.jsonl or"):
        dump(store, tmp_path / "dump.csv")
    with pytest.raises(TrainingError, match="no such folder"):
        dump(store, tmp_path / "none" / "dump.jsonl")
    with pytest.raises(DatasetError, match="No such file"):
        check_dump(tmp_path / "none.jsonl")
    path = tmp_path / "dump.jsonl"
    path.write_text("the one before")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(WriteError, match="No space left on device"):
        dump(store, path)
    assert path.read_text() == "the one before"
    assert not list(tmp_path.glob(".*"))


# Characters that separate, quote, end lines or do not show, and any other.
TEXTS = st.one_of(
    st.text(st.sampled_from("\"'\\,;\t\n\r\0\x1b\x85\u2028\ufeff=@%é🎸 "), max_size=30),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
)
NOW = 1_795_000_000_000_000
TIMES = st.integers(min_value=0, max_value=2 * NOW)


@st.composite
def stored_events(draw: st.DrawFn) -> Event:
    """An event as it may be stored: also by an older Encore, and from a host with another clock."""
    kind = draw(st.sampled_from(EventType))
    plays = st.floats(min_value=0, exclude_min=True, max_value=1e9, allow_infinity=False)
    return Event(
        draw(TEXTS),
        draw(TEXTS),
        kind,
        draw(plays) if kind.carries_plays else 1.0,
        draw(st.none() | TIMES),
        draw(st.none() | TEXTS),
        draw(st.none() | TEXTS),
    )


@pytest.mark.slow
@settings(max_examples=8)
@given(
    batches=st.lists(st.tuples(st.lists(stored_events(), min_size=1), TIMES), max_size=4),
    erased=st.lists(TEXTS, max_size=2),
    unavailable=st.lists(TEXTS, max_size=2),
    is_renewed=st.booleans(),
    name=st.sampled_from(["dump.jsonl", "dump.jsonl.gz"]),
)
def test_whatever_was_exported_is_imported_once(
    batches: list[tuple[list[Event], int]],
    erased: list[str],
    unavailable: list[str],
    is_renewed: bool,
    name: str,
) -> None:
    # Was wrong: times more than a day ahead, empty ids of events and blank names were refused.
    with TemporaryDirectory() as folder, ExitStack() as closed:

        def opened(name: str) -> MaintainableStore:
            return closed.enter_context(closing(open_store(f"sqlite:///{folder}/{name}.db")))

        store, path = opened("encore"), Path(folder, name)
        for events, at in batches:
            store.append(events, at)
        for user in [*erased, *(events[0].user_id for events, _ in batches[:1])]:
            store.erase(user, NOW)
        for artist in unavailable:
            store.set_available(artist, is_available=False)
        if is_renewed:
            store.renew()
        dump(store, path)
        other, third = opened("other"), opened("third")
        absorbed = load(other, check_dump(path)).absorbed
        assert (absorbed.conflicts, absorbed.renumbered, absorbed.repeated) == (0, 0, 0)
        assert content_of(other) == content_of(store)
        again = load(other, check_dump(path)).absorbed
        assert (again.stored, again.users_erased, again.repeated) == (0, 0, absorbed.stored)
        assert content_of(other) == content_of(store)
        # What was imported is exported and imported as well.
        dump(other, path)
        load(third, check_dump(path))
        assert content_of(third) == content_of(store)
