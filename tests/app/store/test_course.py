from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.store.course import Mark, Seen, StoreState, off_course


def state(last: int, *, prunings: int = 0, version: int = 0, tombstone: int = 0) -> StoreState:
    marks = {last: Mark.of(b"%d" % last, last)} if last else {}
    return StoreState("store", last, prunings, version, tombstone, {}, marks)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=200))
def test_marks_are_few_and_reach_from_the_first_to_the_last(steps: list[int]) -> None:
    marks: dict[int, Mark] = {}
    seen, last = Seen("store"), 0
    for step in steps:
        last += step
        marks |= state(last).marks
        seen = seen.followed_by(replace(state(last), marks=marks))
        assert off_course(seen, replace(state(last), marks=marks)) is None
    assert len(seen.marks) <= last.bit_length() + 1
    assert (min(seen.marks), max(seen.marks)) == (steps[0], last)
    assert seen.shared_up_to(replace(state(last), marks=marks)) == last


def test_nothing_is_wrong_with_an_empty_store() -> None:
    assert off_course(Seen("store"), state(0)) is None
    off = off_course(Seen("another"), state(5))
    assert off is not None
    assert off.fault is None


@pytest.mark.parametrize(
    ("now", "fault"),
    [
        (state(9), "number 7 is not the entry that it was"),
        (state(9, tombstone=8), None),
        (state(9, prunings=1), None),
        (state(6, prunings=1), "it ends at number 6, and ended at 7"),
    ],
)
def test_an_entry_vanishes_only_by_an_erasure_or_a_pruning(
    now: StoreState, fault: str | None
) -> None:
    off = off_course(Seen("store").followed_by(state(7)), now)
    assert (off.fault if off else None) == fault
    if off is None:
        # What is gone is not expected any more.
        again = Seen("store").followed_by(state(7)).followed_by(now)
        assert off_course(again, StoreState("store", 9, now.prunings, 0, 0, {}, now.marks)) is None
