from __future__ import annotations

import logging
import threading
from collections import Counter

import pytest

from app.errors import StoreUnavailable
from app.serving.journal.troubles import Tried, Troubles
from app.store.deadlines import Deadline

FULL = StoreUnavailable("full", "no room")
SLOW = StoreUnavailable("slow", "no answer")


class Noted:
    """Troubles, their counts, and the errors that were passed on."""

    def __init__(self) -> None:
        self.closing = threading.Event()
        self.counts: Counter[str] = Counter()
        self.unreadable: list[StoreUnavailable] = []
        self.troubles = Troubles(self.closing, self.counts, self.unreadable.append)


@pytest.fixture
def noted() -> Noted:
    return Noted()


def test_a_failure_is_known_until_the_store_works(noted: Noted) -> None:
    noted.troubles.note("write", FULL)
    noted.troubles.note("open", SLOW)
    assert noted.troubles.all() == [FULL, SLOW]
    assert noted.troubles.get("write") is FULL
    noted.troubles.clear("write")
    assert noted.troubles.all() == [SLOW]
    assert noted.troubles.get("write") is None
    assert noted.counts == {"trouble_full": 1, "trouble_slow": 1}


def test_a_trouble_is_logged_once_and_its_end_when_nothing_is_wrong_any_more(
    noted: Noted, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(2):
        noted.troubles.note("write", FULL)
    noted.troubles.note("read", SLOW)
    noted.troubles.clear("write")
    assert caplog.messages == [f"the event store fails: {one}" for one in (FULL, SLOW)]
    noted.troubles.clear("read")
    noted.troubles.clear("read")
    assert caplog.messages[2:] == ["the event store works again"]


@pytest.mark.parametrize(
    ("tried", "error", "is_refused"),
    [("read", FULL, True), ("read", SLOW, True), ("write", FULL, False), ("write", SLOW, True)],
)
def test_calls_do_not_wait_for_a_store_that_is_known_not_to_answer(
    noted: Noted, tried: Tried, error: StoreUnavailable, is_refused: bool
) -> None:
    noted.troubles.check(tried)
    noted.troubles.note(tried, error)
    assert noted.troubles.refusal(tried) is (error if is_refused else None)
    if is_refused:
        with pytest.raises(StoreUnavailable):
            noted.troubles.check(tried)


def test_only_troubles_of_reading_end_long_questions(noted: Noted) -> None:
    noted.troubles.note("write", SLOW)
    assert noted.unreadable == []
    error = noted.troubles.missed("read", Deadline(3, "SETTING"))
    assert noted.unreadable == [error]
    assert error.reason == "slow"


def test_a_closed_store_is_no_trouble_while_the_journal_ends(noted: Noted) -> None:
    closed = StoreUnavailable("closed", "it is closed")
    noted.closing.set()
    noted.troubles.note("read", closed)
    assert noted.troubles.all() == []
    noted.closing.clear()
    noted.troubles.note("read", closed)
    assert noted.troubles.all() == [closed]
