"""Event stores that a fault can be made in, while a service uses them: real files and servers."""

from __future__ import annotations

import sqlite3
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import psycopg

from app.store.address import open_store
from app.store.migrations import MIGRATIONS
from tests.postgres import PostgresServer

_DISK_MIB: Final = 24
_SESSIONS: Final = "pg_stat_activity WHERE datname"
_NEWER: Final = f"INSERT INTO event_store_migrations VALUES ({len(MIGRATIONS) + 1})"  # noqa: S608
_AGAIN: Final = f"DELETE FROM event_store_migrations WHERE done > {len(MIGRATIONS)}"  # noqa: S608


class FaultyStore(ABC):
    """A store to break.

    Attributes:
        url: its address.
    """

    url: str

    @abstractmethod
    def run(self, *statements: str) -> None:
        """Runs SQL beside the service, in one transaction."""

    @abstractmethod
    def save(self) -> None:
        """Remembers the present content."""

    @abstractmethod
    def go_back(self) -> None:
        """Puts the remembered content in the place of the present one."""

    @abstractmethod
    def locked(self) -> AbstractContextManager[None]:
        """Holds its lock in another session."""

    def migrate(self) -> None:
        """Makes it the store of a later Encore."""
        self.run(_NEWER)

    def migrate_back(self) -> None:
        """Makes it the store of this Encore again."""
        self.run(_AGAIN)


class FaultySqlite(FaultyStore):
    """A file of SQLite, on a small disk of its own where one may be mounted.

    Args:
        folder: where to put it.
        disk: whether it needs a disk of its own.
    """

    def __init__(self, folder: Path, *, disk: bool = False) -> None:
        self.mount = folder / "disk"
        self.mount.mkdir()
        self._image = folder / "image"
        self._ballast = self.mount / "ballast"
        self._saved = folder / "saved.db"
        self._is_mounted = False
        if disk:
            with self._image.open("wb") as image:
                image.truncate(_DISK_MIB * 2**20)
            for command in (
                ["mkfs.ext4", "-q", "-m", "0", str(self._image)],
                ["mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.mount)],
            ):
                subprocess.run(command, check=True, capture_output=True)
            self._is_mounted = True
        self.path = self.mount / "encore.db"
        self.url = f"sqlite:///{self.path}"

    def run(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.path, timeout=10)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def save(self) -> None:
        with (
            closing(sqlite3.connect(self.path)) as store,
            closing(sqlite3.connect(self._saved)) as copy,
        ):
            store.backup(copy)

    def go_back(self) -> None:
        with (
            closing(sqlite3.connect(self._saved)) as copy,
            closing(sqlite3.connect(self.path)) as store,
        ):
            copy.backup(store)  # as `.restore` of the program sqlite3

    @contextmanager
    def locked(self) -> Iterator[None]:
        holder = sqlite3.connect(self.path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            holder.execute("ROLLBACK")
            holder.close()

    def fill(self) -> None:
        """Fills its disk."""
        with suppress(OSError), self._ballast.open("wb", buffering=0) as file:
            for size in (2**16, 2**12, 1):
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def make_room(self) -> None:
        """Makes room on its disk again."""
        self._ballast.unlink()

    def freeze(self) -> None:
        """Lets every write to its disk wait."""
        subprocess.run(["fsfreeze", "-f", self.mount], check=True)

    def thaw(self) -> None:
        """Lets them go on."""
        subprocess.run(["fsfreeze", "-u", self.mount], check=False, capture_output=True)

    def fail_disk(self) -> None:
        """Lets the kernel find an error on the disk, which makes it read-only."""
        found = subprocess.run(
            ["findmnt", "-n", "-o", "SOURCE", self.mount],
            check=True,
            capture_output=True,
            text=True,
        )
        device = Path(found.stdout.strip()).name
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("1")

    def cut_log(self) -> None:
        """Cuts the log beside the file to a third."""
        log = self.path.with_name(f"{self.path.name}-wal")
        with log.open("r+b") as file:
            file.truncate(log.stat().st_size // 3)

    def scribble(self) -> None:
        """Overwrites the file, as a broken disk or program does."""
        with self.path.open("r+b") as file:
            file.write(b"nonsense" * 2**13)

    def replace(self) -> None:
        """Puts another file in the place of the file."""
        other = self.path.with_name("other.db")
        with closing(sqlite3.connect(other)) as connection:
            connection.execute("CREATE TABLE another (one)")
        self.path.rename(self.path.with_name("aside.db"))
        other.rename(self.path)

    def put_back(self) -> None:
        """Puts the former file back."""
        self.path.with_name("aside.db").rename(self.path)

    def remove(self) -> None:
        """Removes the disk."""
        if self._is_mounted:
            self.thaw()
            subprocess.run(["umount", "-l", self.mount], check=True)


class FaultyPostgres(FaultyStore):
    """A database of PostgreSQL with a role that owns nothing else.

    Args:
        server: where to make it.
    """

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self._admin = server.new_database()
        self.name = self._admin.rpartition("/")[2]
        self.role = f"role_{self.name}"
        self.run(
            f"CREATE ROLE {self.role} LOGIN",
            f"ALTER DATABASE {self.name} OWNER TO {self.role}",
            f"GRANT ALL ON SCHEMA public TO {self.role}",
        )
        self.url = self._admin.replace("encore@", f"{self.role}@")
        self._saved = 0

    def run(self, *statements: str) -> None:
        with psycopg.connect(self._admin) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def save(self) -> None:
        with psycopg.connect(self._admin) as connection:
            row = connection.execute("SELECT last_sequence FROM event_store").fetchone()
        assert row
        self._saved = row[0]

    def go_back(self) -> None:
        self.run(
            f"DELETE FROM events WHERE sequence > {self._saved}",  # noqa: S608
            f"DELETE FROM tombstones WHERE sequence > {self._saved}",  # noqa: S608
            f"UPDATE event_store SET last_sequence = {self._saved}",  # noqa: S608
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        with psycopg.connect(self._admin) as connection:
            connection.execute("SELECT * FROM event_store FOR UPDATE")
            yield
            connection.rollback()

    def forbid(self) -> None:
        """Takes the right to write away from the service."""
        self._own(self.server_owner)
        self.run(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {self.role}")

    def allow(self) -> None:
        """Gives it back."""
        self._own(self.role)

    server_owner: Final = "encore"

    def _own(self, role: str) -> None:
        tables = ("events", "event_store", "event_store_migrations", "origins", "tombstones")
        self.run(
            *(f"ALTER TABLE {table} OWNER TO {role}" for table in (*tables, "unavailable_artists"))
        )

    def make_read_only(self) -> None:
        """Makes it read-only for the service."""
        self.run(f"ALTER ROLE {self.role} SET default_transaction_read_only = on")
        self.end_sessions()

    def make_writable(self) -> None:
        """Makes it writable again."""
        self.run(f"ALTER ROLE {self.role} RESET ALL")
        self.end_sessions()

    def end_sessions(self) -> None:
        """Ends all sessions of the service."""
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = %s",
                [self.role],
            )

    def scribble(self) -> None:
        """Overwrites the table of the events on the disk, as a broken one does."""
        with psycopg.connect(self._admin, autocommit=True) as connection:
            row = connection.execute("SELECT pg_relation_filepath('events')").fetchone()
            connection.execute("CHECKPOINT")
        assert row
        self.server.stop()
        with (self.server.data / row[0]).open("r+b") as file:
            file.write(b"nonsense" * 2**13)
        self.server.start()

    def replace(self) -> None:
        """Puts another store at its address."""
        with closing(open_store(self.server.new_database())) as other:
            name = other.place.rpartition("/")[2]
        self._rename((self.name, "aside"), (name, self.name))
        self._own(self.role)

    def put_back(self) -> None:
        """Puts the former store back."""
        self._rename((self.name, "other"), ("aside", self.name))

    def _rename(self, *names: tuple[str, str]) -> None:
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            for before, after in names:
                for statement in (
                    f"ALTER DATABASE {before} ALLOW_CONNECTIONS false",
                    f"SELECT pg_terminate_backend(pid, 10000) FROM {_SESSIONS} = '{before}'",  # noqa: S608
                    f"ALTER DATABASE {before} RENAME TO {after}",
                    f"ALTER DATABASE {after} ALLOW_CONNECTIONS true",
                ):
                    connection.execute(statement.encode())

    def limit_connections(self) -> None:
        """Ends all connections of the service, and allows one."""
        self.run(f"ALTER ROLE {self.role} CONNECTION LIMIT 1")
        self.end_sessions()

    def allow_connections(self) -> None:
        """Allows them again."""
        self.run(f"ALTER ROLE {self.role} CONNECTION LIMIT -1")


def play(user: str, artist: str) -> dict[str, str]:
    """Returns an event."""
    return {"user_id": user, "artist_id": artist}


@contextmanager
def faulty_sqlite(*, disk: bool = False) -> Iterator[FaultySqlite]:
    """Makes a file, and removes it."""
    with tempfile.TemporaryDirectory(prefix="encore-test-faulty-") as folder:
        store = FaultySqlite(Path(folder), disk=disk)
        try:
            yield store
        finally:
            store.remove()
