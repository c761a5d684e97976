"""Deadlines for questions to an event store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.errors import StoreUnavailable

# The least limit of questions that count or follow, which no list waits for. PostgreSQL has the
# same limit for a statement.
FOLLOWING_SECONDS: Final = 10.0
# Waiting for a lock ends a little before the deadline, so that the error names the lock.
_LOCK_SHARE: Final = 0.8


@dataclass(frozen=True, slots=True)
class Deadline:
    """How long one question may take.

    Attributes:
        seconds: the limit, from when the question is asked; None for no limit.
        setting: the environment variable that sets the limit; empty for none.
    """

    seconds: float | None = None
    setting: str = ""

    @property
    def lock_seconds(self) -> float | None:
        """How many seconds to wait for a lock; None for no limit."""
        return None if self.seconds is None else _LOCK_SHARE * self.seconds

    def missed(self, store: str) -> StoreUnavailable:
        """Returns the error to raise when the deadline has passed; ``store`` names the store."""
        by = f" ({self.setting})" if self.setting else ""
        return StoreUnavailable(
            "slow",
            f"{store} did not answer within {self.seconds:g} s{by}: its server or disk is frozen, "
            "overloaded or cut off; check that machine. The service recovers by itself when it "
            "answers again",
        )


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a service waits for its store.

    Attributes:
        read: seconds for questions that lists wait for; None for no limit, as in offline work.
        write: seconds for storing something; None for no limit.
    """

    read: float | None = None
    write: float | None = None

    @property
    def reading(self) -> Deadline:
        """The deadline of questions that lists wait for."""
        return Deadline(self.read, "ENCORE_STORE_READ_SECONDS")

    @property
    def writing(self) -> Deadline:
        """The deadline of storing something."""
        return Deadline(self.write, "ENCORE_STORE_WRITE_SECONDS")

    @property
    def following(self) -> Deadline:
        """The deadline of questions that count or follow."""
        return Deadline(None if self.read is None else max(self.read, FOLLOWING_SECONDS))


NO_DEADLINES: Final = Deadlines()
