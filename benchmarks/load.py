"""Common parts of the benchmarks of the service: starts a server and drives it with wrk.

If there are two CPUs, the server is pinned to one and wrk to the other, so that neither takes time
from the other and one process is compared with one process. A wrong answer ends a benchmark: errors
are quick, and must not count as throughput. Needs Linux and wrk.

Latencies are those of wrk 4.1: it counts a slow request several times, as if others had waited
behind it, so that one stall of the machine shows in the 99th percentile.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final, Self

from app.artifacts.manifest import total_bytes
from app.artifacts.models_folder import ModelsFolder
from app.settings import Settings
from benchmarks.conditions import conditions

HOST: Final = "127.0.0.1"
_ROOT: Final = Path(__file__).parents[1]
_SCRIPT: Final = Path(__file__).with_suffix(".lua")
# Indices of the CPUs that this process may use.
_SERVER_CPU: Final = 0
_CLIENT_CPU: Final = 1
_POLL_SECONDS: Final = 0.005
_LONGEST_START: Final = 180.0
_LONGEST_STOP: Final = 15.0
_TIMEOUT: Final = 10
# Between the opening of the connections and the first request; see the script.
_PAUSE_SECONDS: Final = 0.2
_SETTLE_SECONDS: Final = 0.1
# From this share on, wrk itself may be the limit.
_BUSY_CLIENT: Final = 0.9
# Many connections keep a server busy all the time, unless others take the CPU from it.
_BUSY_SERVER: Final = 0.8
_MANY_CONNECTIONS: Final = 16


class BenchmarkError(Exception):
    """There is no valid result: an answer is wrong, or a server does not start."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers.

    Attributes:
        process: started by this benchmark.
        port: on loopback.
        log: its output.
        ready_s: seconds from the start of the process to the first 200.
    """

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    ready_s: float = float("nan")

    def get(self, target: str) -> bytes:
        """Returns the body of one answer.

        Raises:
            BenchmarkError: its status is not 200.
        """
        connection = HTTPConnection(HOST, self.port, timeout=_TIMEOUT)
        try:
            connection.request("GET", target)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise BenchmarkError(f"{target} answers {answer.status}: {body[:300]!r}")
        return body

    def cpu_seconds(self) -> float:
        """Returns the processor time used so far."""
        ticks = 0
        for pid in _processes(self.process.pid):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> dict[str, float]:
        """Returns the megabytes of the server's own memory, and of the files that it has mapped.

        ``Anonymous`` belongs to the process alone: heap, stacks, and mapped pages that it wrote
        to. The rest of ``Rss`` are pages of files of the model and of libraries, which are in
        memory once for all workers and which the kernel may drop. ``Private_Clean`` does not
        distinguish them: with one worker, all mapped pages count as private. With several
        processes, ``file_mb`` counts a page for each of them, ``file_once_mb`` only once.
        """
        own = resident = once = 0
        for pid in _processes(self.process.pid):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
            sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
            own += sizes["Anonymous"]
            resident += sizes["Rss"]
            once += sizes["Pss_File"]
        kilobytes = {"private_mb": own, "file_mb": resident - own, "file_once_mb": once}
        return {name: value * 1024 / 1e6 for name, value in kilobytes.items()}


@dataclass(frozen=True, slots=True)
class Figures:
    """The result of one run of wrk, or the median of several.

    Attributes:
        throughput: answers per second.
        p50_us, p99_us, max_us: latency in microseconds.
        cpu_us: processor time of the server for one answer, in microseconds; steadier than the
            throughput if other tenants use the machine.
    """

    throughput: float
    p50_us: float
    p99_us: float
    max_us: float
    cpu_us: float

    @classmethod
    def median(cls, figures: Sequence[Self]) -> Self:
        """Returns each figure's median."""
        return cls(*(median(values) for values in zip(*map(astuple, figures), strict=True)))

    def to_json(self) -> dict[str, float]:
        """Returns the values with one decimal."""
        return {name: round(value, 1) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Load:
    """The requests that a server is driven with.

    Attributes:
        name: for the tables.
        targets: paths with their queries, percent-encoded.
        check: raises ``BenchmarkError`` for a wrong answer.
    """

    name: str
    targets: Sequence[str]
    check: Callable[[bytes], None]

    def try_out(self, server: Server, count: int = 10) -> None:
        """Checks some answers."""
        for target in self.targets[:: max(1, len(self.targets) // count)][:count]:
            self.check(server.get(target))


def lists_by(source: str, n: int = 10) -> Callable[[bytes], None]:
    """Returns a check that an answer of the service is a list of n items from ``source``."""

    def check(body: bytes) -> None:
        answer = json.loads(body)
        if answer["source"] != source or len(answer["items"]) != n:
            raise BenchmarkError(f"expected {n} items by {source}, found {body[:300]!r}")

    return check


def drive(
    server: Server,
    load: Load,
    *,
    connections: int,
    seconds: int,
    start: int = 0,
    settled: bool = True,
) -> Figures:
    """Drives a server over keep-alive connections, each with one request at a time.

    Args:
        server: the server.
        load: the requests; wrk repeats them in a cycle.
        connections: number of connections.
        seconds: duration.
        start: index of the first request in the cycle.
        settled: whether to wait first until the server is idle. With another load at the same time
            that would wait for its end.

    Raises:
        BenchmarkError: an answer was not 2xx, a connection broke, or wrk failed.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(f"{target}\n" for target in load.targets)
        file.flush()
        options = f"--threads 1 --connections {connections} --duration {seconds}s".split()
        options += ["--timeout", f"{_TIMEOUT}s", "--script", str(_SCRIPT)]
        url = f"http://{HOST}:{server.port}"
        command = ["wrk", *options, url, "--", file.name, str(start)]
        command += [str(connections), f"{_PAUSE_SECONDS * 1000:.0f}"]
        if settled:
            _settle(server)
        cpu_before, client_before = server.cpu_seconds(), _seconds_of_children()
        done = subprocess.run(
            pinned(command, _CLIENT_CPU),
            capture_output=True,
            text=True,
            timeout=seconds + 60,
            check=False,
        )
        cpu = server.cpu_seconds() - cpu_before
        busy = (_seconds_of_children() - client_before) / seconds
    result = _read_result(done)
    if result["requests"] == 0 or any(result["errors"].values()):
        raise BenchmarkError(f"{load.name}, {connections} connections: {result}")
    if busy > _BUSY_CLIENT:
        _warn(f"{load.name}: wrk was busy for {busy:.0%} of the time, so it may be what limits")
    ran = cpu / (seconds - _PAUSE_SECONDS)
    if connections >= _MANY_CONNECTIONS and ran < _BUSY_SERVER:
        _warn(f"{load.name}: the server ran for {ran:.0%} of the time only")
    return Figures(
        throughput=result["requests"] / (result["duration_us"] / 1e6 - _PAUSE_SECONDS),
        p50_us=result["p50_us"],
        p99_us=result["p99_us"],
        max_us=result["max_us"],
        cpu_us=cpu * 1e6 / result["requests"],
    )


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    *,
    env: Mapping[str, str],
    ready: str,
    root: Path = _ROOT,
) -> Iterator[Server]:
    """Starts a server, waits until it answers, and ends it afterwards.

    Args:
        command: the command that starts it.
        port: the port that it will listen on.
        env: variables besides those of this process; ``ENCORE_*`` of this process are not used.
        ready: a target that answers 200 as soon as the server is ready.
        root: the working directory.

    Raises:
        BenchmarkError: the server ends, or does not answer in time.
    """
    variables = {name: text for name, text in os.environ.items() if not name.startswith("ENCORE_")}
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        variables[name] = "1"
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as file:
            spawned = time.perf_counter()
            process = subprocess.Popen(
                pinned(command, _SERVER_CPU),
                cwd=root,
                env={**variables, **env},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            starting = Server(process, port, log)
            _wait(starting, lambda: _answers(port, ready), f"{ready} to answer 200")
            yield Server(process, port, log, time.perf_counter() - spawned)
        finally:
            _stop(process)


@contextmanager
def encore(
    models: Path,
    *,
    verified: bool = True,
    ready: str = "/health/ready",
    settings: Mapping[str, str] | None = None,
    workers: int = 1,
    root: Path = _ROOT,
) -> Iterator[Server]:
    """Runs the service itself.

    Args:
        models: the models folder.
        verified: whether to wait until the service, which compares the checksums of a large model
            in the background, has finished that.
        ready: a target that answers 200 as soon as the service is ready.
        settings: more variables.
        workers: number of processes that answer.
        root: the checkout that answers.
    """
    with tempfile.TemporaryDirectory() as folder:
        database = {"ENCORE_DATABASE_URL": f"sqlite:///{folder}/encore.db"}
        settings = database | dict(settings or {})
        with _encore(models, verified, ready, settings, workers, root) as server:
            yield server


@contextmanager
def _encore(  # noqa: PLR0917 - in the order of the function above
    models: Path,
    verified: bool,
    ready: str,
    settings: Mapping[str, str],
    workers: int,
    root: Path,
) -> Iterator[Server]:
    port = free_port()
    env = {
        **settings,
        "ENCORE_MODELS": str(models.resolve()),
        "ENCORE_HOST": HOST,
        "ENCORE_PORT": str(port),
        "ENCORE_WORKERS": str(workers),
        "ENCORE_LOG_LEVEL": "info",
    }
    with running([sys.executable, "-m", "app"], port, env=env, ready=ready, root=root) as server:
        if verified and _is_verified_later(models):
            line = b"the checksums of model"
            _wait(server, lambda: line in server.log.read_bytes(), "checksums to be compared")
        yield server


@contextmanager
def uvicorn(factory: str, *, env: Mapping[str, str], ready: str) -> Iterator[Server]:
    """Runs another app as one process, with the server settings of the service.

    Args:
        factory: ``module:function``.
        env: as in ``running``.
        ready: as in ``running``.
    """
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", factory, "--factory", "--host", HOST]
    command += ["--port", str(port), "--loop", "uvloop", "--http", "httptools", "--ws", "none"]
    command += ["--no-access-log", "--log-level", "warning", "--no-proxy-headers"]
    command += ["--no-server-header"]
    with running(command, port, env=env, ready=ready) as server:
        yield server


def client_cpu() -> int:
    """Returns the CPU from which servers are driven."""
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[min(_CLIENT_CPU, len(cpus) - 1)]


def pinned(command: Sequence[str], place: int) -> list[str]:
    """Returns a command that runs on one CPU, where there is more than one."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) == 1:
        return list(command)
    return ["taskset", "--cpu-list", str(cpus[place]), *command]


def free_port() -> int:
    """Returns a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def serving_conditions() -> dict[str, str]:
    """Returns date, machine and versions of the benchmark, with those relevant to serving."""
    if shutil.which("wrk") is None:
        raise SystemExit("error: wrk is not installed (Debian and Ubuntu: apt-get install wrk)")
    said = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    cpus = len(os.sched_getaffinity(0))
    return {
        **conditions(),
        **{name: version(name) for name in ("fastapi", "starlette", "uvicorn", "uvloop")},
        "httptools": version("httptools"),
        "wrk": (said.stdout or said.stderr).split()[1],
        "pinning": "server and wrk on a CPU each" if cpus > 1 else "none, one CPU",
    }


def _settle(server: Server) -> None:
    """Waits until a server has finished the work of an earlier run."""
    used, now = -1.0, server.cpu_seconds()
    while now - used > _SETTLE_SECONDS / 4:
        time.sleep(_SETTLE_SECONDS)
        used, now = now, server.cpu_seconds()


def _read_result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"requests"')]
    if done.returncode != 0 or len(lines) != 1:
        raise BenchmarkError(f"wrk ended with {done.returncode}: {done.stdout}{done.stderr}")
    result: dict[str, Any] = json.loads(lines[0])
    return result


def _wait(server: Server, is_done: Callable[[], bool], what: str) -> None:
    deadline = time.perf_counter() + _LONGEST_START
    while not is_done():
        if server.process.poll() is not None or time.perf_counter() > deadline:
            said = server.log.read_text(errors="replace")[-2000:]
            raise BenchmarkError(f"waited in vain for {what}; the server said: {said}")
        time.sleep(_POLL_SECONDS)


def _answers(port: int, target: str) -> bool:
    """Returns whether a target answers 200; a server that listens may need time to be ready."""
    try:
        with socket.create_connection((HOST, port), timeout=_LONGEST_START) as connection:
            head = f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode())
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_LONGEST_STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _is_verified_later(models: Path) -> bool:
    folder = ModelsFolder(models)
    current = folder.current()
    if current is None:
        return False
    limit = int(Settings.model_fields["verify_bytes"].default)
    return total_bytes(folder.manifest(current)) > limit


def _processes(pid: int) -> Iterator[int]:
    """Yields a process and all processes that it started."""
    yield pid
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in file.read_text().split():
            yield from _processes(int(child))


def _warn(what: str) -> None:
    print(f"warning: {what}", file=sys.stderr, flush=True)


def _seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
