"""A real PostgreSQL server for the tests, thrown away afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import psycopg

from tests.processes import children_of

_PATIENCE = 60.0
_NO_ROOM = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER no_room BEFORE INSERT ON events EXECUTE FUNCTION no_room();
"""


class PostgresServer:
    """A server of its own on a free port; Debian's package ``postgresql`` has the programs."""

    def __init__(self) -> None:
        self._programs = _programs()
        self._folder = Path(tempfile.mkdtemp(prefix="encore-test-postgres-"))
        # The server refuses to run as root.
        self._user = "postgres" if os.getuid() == 0 else None
        if self._user:
            shutil.chown(self._folder, self._user)
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        self._make()
        while not self._starts():
            self.port = _free_port()  # somebody else was quicker

    def _make(self) -> None:
        subprocess.run(
            [self._programs / "initdb", "-D", self.data, "-U", "encore", "-A", "trust", "-N"],
            check=True,
            capture_output=True,
            user=self._user,
            cwd=self._folder,
        )

    @property
    def data(self) -> Path:
        """The folder of its data."""
        return self._folder / "data"

    def start(self) -> None:
        """Starts it again, where it was, and waits until it answers."""
        assert self._starts(), f"PostgreSQL does not start; {self._log.read_text()}"

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _starts(self) -> bool:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",  # no test turns the machine off
        }
        options = [f"-c{name}={value}" for name, value in settings.items()]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.data, *options],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._folder,
            )
        deadline = time.monotonic() + _PATIENCE
        while self._process.poll() is None:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=3).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, f"no answer; {self._log.read_text()}"
                time.sleep(0.05)
            else:
                return True
        assert "could not bind" in self._log.read_text(), self._log.read_text()
        return False

    def stop(self) -> None:
        """Stops it; what was committed is kept."""
        if self._process is not None:
            self.thaw()
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_PATIENCE)
            self._process = None

    def kill(self) -> None:
        """Kills all its processes at once; ``start`` recovers what was committed."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(_PATIENCE)
            self._process = None

    def freeze(self) -> None:
        """Stops all its processes where they are; what is sent to them is acknowledged still."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets them go on; also where they were not frozen."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._process is None:
            return
        children = children_of(self._process.pid)
        # The first one makes no others once it is stopped.
        self._process.send_signal(number)
        for child in {*children, *children_of(self._process.pid)}:
            with suppress(ProcessLookupError):
                os.kill(child, number)

    def tables(self) -> list[Path]:
        """Returns the files of all tables, without the log of the server."""
        return [path for path in (self.data / "base").rglob("*") if path.is_file()]

    def url(self, database: str) -> str:
        """Returns the address of a database."""
        return f"postgresql://encore@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Makes an empty database and returns its address."""
        name = f"test{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freezes it for a while."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    @contextmanager
    def small_database(self) -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
        """Makes a database that can be full.

        Its tables lie on a small file system of their own, where one may be mounted; elsewhere the
        server only says that there is no room.

        Yields:
            Its address, what fills the disk and what makes room again.
        """
        folder = self._folder / "small"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)]
        is_mounted = not subprocess.run(mount, capture_output=True, check=False).returncode
        tables = folder / "tables"
        tables.mkdir()
        if self._user:
            shutil.chown(tables, self._user)
        ballast = folder / "ballast"
        url = self.new_database()
        name = url.rpartition("/")[2]

        def run(database: str, statement: str) -> None:
            with psycopg.connect(self.url(database), autocommit=True) as connection:
                connection.execute(statement.encode())

        def fill() -> None:
            if is_mounted:
                with suppress(OSError), ballast.open("wb", buffering=0) as file:
                    while True:
                        file.write(bytes(4096))
            else:
                run(name, _NO_ROOM)

        def make_room() -> None:
            if is_mounted:
                ballast.unlink()
            else:
                run(name, "DROP TRIGGER no_room ON events")

        run("postgres", f"CREATE TABLESPACE small LOCATION '{tables}'")
        run("postgres", f"ALTER DATABASE {name} SET TABLESPACE small")
        try:
            yield url, fill, make_room
        finally:
            run("postgres", f"DROP DATABASE {name} WITH (FORCE)")
            run("postgres", "DROP TABLESPACE small")
            if is_mounted:
                subprocess.run(["umount", str(folder)], check=True)
            shutil.rmtree(folder)

    @classmethod
    @contextmanager
    def removed(cls) -> Iterator[PostgresServer]:
        """Starts a server, and removes it afterwards."""
        server = cls()
        try:
            yield server
        finally:
            server.thaw()
            server.remove()

    def remove(self) -> None:
        """Stops it and removes all that it wrote."""
        self.stop()
        with suppress(FileNotFoundError):
            shutil.rmtree(self._folder)


class Standby(PostgresServer):
    """A standby of another server, which copies what that one commits, a moment later."""

    def __init__(self, primary: PostgresServer) -> None:
        self._primary = primary
        super().__init__()

    def _make(self) -> None:
        source = f"host=127.0.0.1 port={self._primary.port} user=encore"
        command = [str(self._programs / "pg_basebackup"), "-D", str(self.data), "-d", source, "-R"]
        subprocess.run(
            [*command, "-c", "fast"],
            check=True,
            capture_output=True,
            user=self._user,
            cwd=self._folder,
        )

    @classmethod
    @contextmanager
    def of(cls, primary: PostgresServer) -> Iterator[Standby]:
        """Starts a standby, and removes it afterwards."""
        server = cls(primary)
        try:
            yield server
        finally:
            server.thaw()
            server.remove()

    def url_of_both(self, url: str) -> str:
        """Returns the address of a database on whichever of both servers can be written."""
        hosts = f"127.0.0.1:{self._primary.port},127.0.0.1:{self.port}"
        name = url.rpartition("/")[2]
        return f"postgresql://encore@{hosts}/{name}?target_session_attrs=read-write"

    def lags(self) -> None:
        """Copies all that there is, and nothing from now on."""
        with psycopg.connect(self._primary.url("postgres"), autocommit=True) as primary:
            row = primary.execute("SELECT pg_current_wal_lsn()").fetchone()
        assert row
        deadline = time.monotonic() + _PATIENCE
        with psycopg.connect(self.url("postgres"), autocommit=True) as standby:
            while True:
                here = standby.execute("SELECT pg_last_wal_replay_lsn() >= %s", row).fetchone()
                if here and here[0]:
                    break
                assert time.monotonic() < deadline
                time.sleep(0.05)
            standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
            standby.execute("SELECT pg_reload_conf()")
            while standby.execute("SELECT FROM pg_stat_wal_receiver").fetchone():
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def takes_over(self, primary: PostgresServer) -> None:
        """Becomes the primary, after that was killed."""
        primary.kill()
        with psycopg.connect(self.url("postgres"), autocommit=True) as standby:
            standby.execute("SELECT pg_promote(true, 60)")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _programs() -> Path:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    for place in [*places, *([Path(found).resolve().parent] if found else [])]:
        if (place / "postgres").exists():
            return place
    raise AssertionError("these tests want PostgreSQL: apt-get install postgresql")


if __name__ == "__main__":  # before the tests take their time
    try:
        _programs()
    except AssertionError as error:
        sys.exit(f"encore: {error}")
