from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from app.serving.deaths import DEADLY_SECONDS, SLOTS, DeathRegister

VERSION = "20261123T150405Z-3f9c2a1b"
OTHER = "20261124T150405Z-3f9c2a1b"


@pytest.fixture
def register() -> Iterator[DeathRegister]:
    register = DeathRegister()
    yield register
    register.close()
    register.close()  # may be called twice


def test_a_death_is_put_down_to_the_version_that_was_being_opened_else_to_the_served_one(
    register: DeathRegister,
) -> None:
    register.note(3, opening=None, serving=VERSION)
    register.note(SLOTS - 1, opening=OTHER, serving=VERSION)
    assert register.record("SIGBUS", 3) == VERSION
    assert register.record("SIGSEGV", SLOTS - 1) == OTHER
    assert register.record("SIGBUS", 3) is None  # the slot is empty again
    found = register.deaths()
    assert found.counts == {"SIGBUS": 2, "SIGSEGV": 1}
    assert {version: len(at) for version, at in found.faults.items()} == {VERSION: 1, OTHER: 1}
    assert register.deaths() is found


def test_only_faults_make_a_version_deadly_and_only_for_a_while(
    register: DeathRegister, monkeypatch: pytest.MonkeyPatch
) -> None:
    for reason in ("SIGKILL", "exit", "hung", "SIGTERM", "SIGBUS", "SIGBUS"):
        register.note(0, opening=None, serving=VERSION)
        register.record(reason, 0)
    assert not register.deaths().is_deadly(VERSION)
    register.note(0, opening=None, serving=VERSION)
    register.record("SIGABRT", 0)
    assert register.deaths().is_deadly(VERSION)
    assert not register.deaths().is_deadly(OTHER)
    assert not register.deaths().is_deadly(VERSION, since=time.monotonic())
    later = time.monotonic() + DEADLY_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert not register.deaths().is_deadly(VERSION)


def test_it_holds_the_latest_versions_however_many_there_were(register: DeathRegister) -> None:
    for number in range(500):
        register.note(number, opening=f"{number:025}", serving=None)
        register.record("SIGBUS", number)
    found = register.deaths()
    assert found.counts == {"SIGBUS": 500}
    assert list(found.faults) == [f"{number:025}" for number in range(450, 500)]
