"""The course of a store in SQL: looking at it, and another id for a store that went back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from app.store.course import Mark, Seen, StoreState
from app.store.sql.base import NO_LIMIT, SqlBase, empty, new_id
from app.store.sql.connection import Connection


class SqlCourse(SqlBase):
    """Looks at a store; see ``EventStore`` and ``MaintainableStore`` for what its methods do."""

    def look(self, numbers: Sequence[int] = ()) -> StoreState:
        """Returns the state of the store; see ``EventStore``."""
        with self._reading() as connection:
            return self._state(connection, numbers)

    def settle(self, seen: Seen) -> str | None:
        """Gives the store another id if it went back; see ``EventStore``."""
        with self._writing() as connection:
            self._lock_sequence(connection)
            # Again, now that nobody else writes.
            state = self._state(connection, list(seen.marks))
            fault = seen.fault_of(state)
            if fault is None:
                return None
            if state.id == seen.id:  # else another process has done it
                self._renew(connection, self._shared_up_to(connection, seen, state))
            if state.availability_version <= seen.availability_version:
                # Whoever has seen the former version reads the artists again.
                self._update(connection, "assortment_version = ?", seen.availability_version + 1)
        return fault

    def renew(self, shared_up_to: int | None = None) -> str:
        """Gives the store a new id; see ``MaintainableStore``."""
        with self._writing() as connection:
            last = self._lock_sequence(connection)
            self._renew(connection, last if shared_up_to is None else min(shared_up_to, last))
        return self.id

    def _renew(self, connection: Connection, shared: int) -> None:
        self._learn_identity(connection)
        old = self.id
        self._update(connection, "id = ?", new_id())
        self._learn_identity(connection)
        # What it shares with other stores is limited to that number as well.
        for store_id, number in {**self._identity.origins, old: shared}.items():
            self._set_origin(connection, store_id, min(number, shared))
        self._learn_identity(connection)
        self._announce(connection)

    def _set_origin(self, connection: Connection, store_id: str, shared: int) -> None:
        """Records up to which number the events are those of the store with that id."""
        self._execute(connection, "DELETE FROM origins WHERE store_id = ?", store_id.encode())
        if store_id != self.id and shared > 0:
            self._execute(
                connection, "INSERT INTO origins VALUES (?, ?)", store_id.encode(), shared
            )

    def _state(self, connection: Connection, numbers: Collection[int]) -> StoreState:
        row = self._execute(
            connection,
            "SELECT last_sequence, assortment_version, "
            "(SELECT max(sequence) FROM tombstones) FROM event_store",
        ).fetchone()
        if row is None:
            raise empty()
        self._learn_identity(connection)
        last, identity = int(row[0]), self._identity
        return StoreState(
            id=identity.id,
            last_sequence=last,
            prunings=identity.prunings,
            availability_version=int(row[1]),
            last_tombstone=int(row[2] or 0),
            origins=identity.origins,
            marks=self._marks(connection, sorted({last, *numbers})),
        )

    def _marks(self, connection: Connection, numbers: Sequence[int]) -> dict[int, Mark]:
        marks = ", ".join("?" * len(numbers))
        rows: list[Any] = self._execute(
            connection,
            f"SELECT sequence, key, received_at FROM events WHERE sequence IN ({marks}) "  # noqa: S608 - no input
            "UNION ALL SELECT sequence, user_hash, erased_at FROM tombstones "
            f"WHERE sequence IN ({marks})",
            *numbers,
            *numbers,
        ).fetchall()
        return {int(sequence): Mark.of(bytes(identity), int(at)) for sequence, identity, at in rows}

    def _shared_up_to(self, connection: Connection, seen: Seen, state: StoreState) -> int:
        """Returns up to which number the entries are surely those that were seen."""
        if not seen.marks:
            return 0
        shared = seen.shared_up_to(state)
        # What was stored long before the last entry that was seen cannot have come since.
        first = self._execute(
            connection,
            "SELECT min(sequence) FROM (SELECT sequence FROM events "
            "WHERE sequence > ? AND received_at >= ? UNION ALL SELECT sequence FROM tombstones "
            "WHERE sequence > ? AND erased_at >= ?) AS later",
            *(shared, seen.surely_before) * 2,
        ).fetchone()[0]
        end = min(state.last_sequence, seen.last_sequence)
        return min(end, NO_LIMIT if first is None else int(first) - 1)
