"""Until when a question to an event store has to be answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.errors import StoreUnavailable

# Of questions that count or follow, which no list waits for. PostgreSQL has the same limit for a
# statement.
FOLLOWING_SECONDS: Final = 10.0
# Whoever waits for a lock gives up a little before the deadline, so that the error names the lock.
_LOCK_SHARE: Final = 0.8


@dataclass(frozen=True, slots=True)
class Deadline:
    """How long one question may take.

    Attributes:
        seconds: from when it is put; None for no limit.
        setting: the variable that says so; empty where none does.
    """

    seconds: float | None = None
    setting: str = ""

    @property
    def lock_seconds(self) -> float | None:
        """How long one may wait for a lock; None for no limit."""
        return None if self.seconds is None else _LOCK_SHARE * self.seconds

    def missed(self, store: str) -> StoreUnavailable:
        """Returns what to raise when it has passed; ``store`` says of which store."""
        by = f" ({self.setting})" if self.setting else ""
        return StoreUnavailable(
            "slow",
            f"{store} did not answer within {self.seconds:g} s{by}: its server or disk is frozen, "
            "overloaded or cut off; look at that machine. The service goes on by itself when it "
            "answers again",
        )


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a service waits for its store.

    Attributes:
        read: seconds for what lists wait for; None for no limit at all, as offline.
        write: seconds for storing something.
    """

    read: float | None = None
    write: float | None = None

    @property
    def reading(self) -> Deadline:
        """Of what lists wait for."""
        return Deadline(self.read, "ENCORE_STORE_READ_SECONDS")

    @property
    def writing(self) -> Deadline:
        """Of storing something."""
        return Deadline(self.write, "ENCORE_STORE_WRITE_SECONDS")

    @property
    def following(self) -> Deadline:
        """Of what counts or follows."""
        return Deadline(None if self.read is None else max(self.read, FOLLOWING_SECONDS))


NO_DEADLINES: Final = Deadlines()
