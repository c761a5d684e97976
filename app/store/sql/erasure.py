"""Erasing users, and their tombstones, in SQL."""

from __future__ import annotations

from app.events.event import user_hash
from app.store.entries import Tombstone
from app.store.sql.base import SqlBase
from app.store.sql.connection import Connection
from app.store.stamps import stamp_key


class SqlErasure(SqlBase):
    """Tombstones in SQL; see ``EventStore`` for what its methods do."""

    def erase(self, user_id: str, erased_at: int) -> int:
        """Deletes a user's events and leaves a tombstone; see ``EventStore``."""
        user = user_id.encode()
        with self._writing() as connection:
            sequence = self._lock_sequence(connection) + 1
            statement = "SELECT count(*), max(received_at) FROM events WHERE user_id = ?"
            erased, latest = self._execute(connection, statement, user).fetchone()
            self._execute(connection, "DELETE FROM events WHERE user_id = ?", user)
            # Clocks may differ; the tombstone has to be later than its events in other stores, too.
            erased_at = max(erased_at, latest or 0)
            tombstone = Tombstone(sequence, user_hash(user_id), stamp_key(user_id), erased_at)
            self._leave(connection, tombstone)
            self._raise_sequence(connection, sequence)
            self.owe_wipe()
        self.wipe()
        return int(erased)

    def _leave(self, connection: Connection, tombstone: Tombstone) -> None:
        """Stores a tombstone, and replaces an earlier one of the same user."""
        hashed = tombstone.user_hash
        self._execute(connection, "DELETE FROM tombstones WHERE user_hash = ?", hashed)
        self._execute(
            connection,
            "INSERT INTO tombstones (user_hash, stamp_key, sequence, erased_at) "
            "VALUES (?, ?, ?, ?)",
            hashed,
            tombstone.stamp_key,
            tombstone.sequence,
            tombstone.erased_at,
        )

    def tombstone_of(self, user_id: str) -> int:
        """Returns the number of a user's tombstone, 0 without one."""
        with self._reading() as connection:
            statement = "SELECT sequence FROM tombstones WHERE user_hash = ?"
            row = self._execute(connection, statement, user_hash(user_id)).fetchone()
        return 0 if row is None else int(row[0])

    def tombstones(self, up_to: int) -> list[tuple[bytes, int]]:
        """Returns the user hashes and numbers of tombstones."""
        with self._following() as connection:
            statement = "SELECT user_hash, sequence FROM tombstones WHERE sequence <= ?"
            rows = self._execute(connection, statement, up_to).fetchall()
        return [(bytes(hashed), int(sequence)) for hashed, sequence in rows]

    def erased_after(self, after: int) -> list[tuple[int, int]]:
        """Returns the stamp keys and numbers of later tombstones."""
        with self._following() as connection:
            statement = "SELECT stamp_key, sequence FROM tombstones WHERE sequence > ?"
            rows = self._execute(connection, statement, after).fetchall()
        return [(int(key), int(sequence)) for key, sequence in rows]
