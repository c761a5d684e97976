"""The course of a store: whether its numbers still mean what they meant at an earlier look.

A store goes back when an older copy is restored, when a standby that lacks the last commits takes
over, or when a part of its log is lost. It then gives numbers to new events that it gave to others
before, so whoever remembers those numbers would take the new events for known ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Final, Self

# Clocks of hosts that share a store may differ by as much, in microseconds.
_SKEW: Final = 60_000_000
# How many of the latest marks are compared at each look; all of them are when something is wrong.
_COMPARED: Final = 3


@dataclass(frozen=True, slots=True)
class Mark:
    """An entry of a store, by which the course of the store is recognised.

    Attributes:
        digest: 16 bytes, a hash of what identifies the entry.
        at: when it was stored, in microseconds since 1970 (UTC).
    """

    digest: bytes
    at: int

    @classmethod
    def of(cls, identity: bytes, at: int) -> Self:
        """Makes the mark of an event, by its key, or of a tombstone, by the hash of its user."""
        return cls(blake2b(b"%d %b" % (at, identity), digest_size=16).digest(), at)


@dataclass(frozen=True, slots=True)
class StoreState:
    """What one look at a store shows.

    Attributes:
        id: the store's id.
        last_sequence: number of the last event or tombstone, 0 while there is none.
        prunings: how often events were pruned.
        availability_version: the version of availability.
        last_tombstone: number of the last tombstone, 0 without any.
        origins: by id of another store, the number up to which it holds the events of that store.
        marks: the entries with the numbers that were asked for, and the last entry, as far as they
            exist.
    """

    id: str
    last_sequence: int
    prunings: int
    availability_version: int
    last_tombstone: int
    origins: Mapping[str, int]
    marks: Mapping[int, Mark]


@dataclass(frozen=True, slots=True)
class Seen:
    """What earlier looks at a store have shown.

    Attributes:
        id: the store's id.
        last_sequence: the highest number that was seen.
        prunings: as in ``StoreState``.
        availability_version: as in ``StoreState``.
        marks: some of the entries that were seen; the older, the sparser.
    """

    id: str
    last_sequence: int = 0
    prunings: int = 0
    availability_version: int = 0
    marks: Mapping[int, Mark] = field(default_factory=dict)

    @property
    def latest_marks(self) -> Sequence[int]:
        """The numbers of the marks to compare at the next look."""
        return sorted(self.marks)[-_COMPARED:]

    def followed_by(self, state: StoreState) -> Seen:
        """Returns what has been seen after another look, which was not off course."""
        end = state.last_sequence
        # What was deleted meanwhile is no mark any more.
        is_pruned = state.prunings != self.prunings
        gone = self.marks if is_pruned else self.latest_marks
        marks = {number: mark for number, mark in self.marks.items() if number not in gone}
        marks |= state.marks
        # One for each power of two of the distance to the end; the oldest, which moves on.
        sparse: dict[int, int] = {}
        for number in sorted(marks):
            sparse.setdefault((end - number).bit_length(), number)
        return Seen(
            state.id,
            max(self.last_sequence, end),
            state.prunings,
            state.availability_version,
            {number: marks[number] for number in sparse.values()},
        )

    def fault_of(self, state: StoreState) -> str | None:
        """Returns what shows that the store has taken another course; None if nothing does."""
        if state.last_sequence < self.last_sequence:
            return f"it ends at number {state.last_sequence}, and ended at {self.last_sequence}"
        if state.prunings < self.prunings or (
            state.availability_version < self.availability_version
        ):
            return "it does not know the last change of availability, or the last pruning"
        # An erasure leaves a later tombstone, and a pruning is counted: else no entry vanishes.
        may_lack = state.prunings != self.prunings
        for number in self.latest_marks:
            mark = state.marks.get(number)
            lacks = mark is None and not may_lack and state.last_tombstone <= number
            if lacks or (mark is not None and mark != self.marks[number]):
                return f"number {number} is not the entry that it was"
        is_known = state.id == self.id or self.id in state.origins or self.shared_up_to(state)
        return None if is_known or not self.last_sequence else "it has another id"

    def shared_up_to(self, state: StoreState) -> int:
        """Returns a number up to which the store surely holds the entries that were seen."""
        return max(
            (number for number, mark in self.marks.items() if state.marks.get(number) == mark),
            default=0,
        )

    @property
    def surely_before(self) -> int:
        """Returns a time; an entry that was stored before it was stored before the last mark."""
        return self.marks[max(self.marks)].at - _SKEW if self.marks else 0


@dataclass(frozen=True, slots=True)
class OffCourse:
    """A store that is not what was seen.

    Attributes:
        seen: what was seen.
        fault: what shows that it has taken another course; None if only its id was renewed.
    """

    seen: Seen
    fault: str | None


def off_course(seen: Seen, state: StoreState) -> OffCourse | None:
    """Compares a look with the earlier ones; None if the store has gone on as expected."""
    fault = seen.fault_of(state)
    return OffCourse(seen, fault) if fault or state.id != seen.id else None


def raised(seen: Seen, sequence: int, stored: tuple[int, Mark] | None) -> Seen:
    """Returns what has been seen, with the number of the last commit and the mark of its event."""
    marks = seen.marks
    if stored is not None and stored[0] > max(marks, default=0):
        marks = {**marks, stored[0]: stored[1]}
    return replace(seen, last_sequence=max(seen.last_sequence, sequence), marks=marks)
