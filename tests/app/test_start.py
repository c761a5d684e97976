"""Starts that the machine does not allow: each is one sentence that names what to set."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app import __version__
from tests.server import PATIENCE, ROOT, Server, eventually, serving, start

pytestmark = pytest.mark.slow

# Makes everything read-only, in a mount namespace of its own, and mounts what is named again.
READ_ONLY = """
set -e
mount --make-rprivate /
mount -o remount,ro,bind / 2>/dev/null || { mount --rbind / /mnt && exit 77; }
for folder in $(awk '$3 != "proc" && $3 != "sysfs" { print $2 }' /proc/mounts); do
    [ "$folder" = / ] || mount -o remount,ro,bind "$folder" 2>/dev/null || true
done
if [ -n "$WRITABLE" ]; then mount -t tmpfs tmpfs "$WRITABLE"; fi
exec "$@"
"""


def start_on_read_only_machine(writable: str, **variables: str) -> subprocess.Popen[str]:
    """Starts the service where only one folder can be written to."""
    own_user = [] if os.getuid() == 0 else ["--map-root-user"]
    environment = {key: value for key, value in os.environ.items() if "ENCORE_" not in key}
    command = ["unshare", "--mount", *own_user, "sh", "-c", READ_ONLY, "sh", sys.executable]
    return subprocess.Popen(
        [*command, "-m", "app", "--port", "0", "--models", "/nowhere"],
        cwd=ROOT,
        env=environment | {"WRITABLE": writable, "TMPDIR": ""} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def _with_mounts() -> None:
    """Skips where not even a namespace of its own may mount anything."""
    own_user = [] if os.getuid() == 0 else ["--map-root-user"]
    probe = ["unshare", "--mount", *own_user, "mount", "--make-rprivate", "/"]
    if shutil.which("unshare") is None or subprocess.run(probe, check=False).returncode:
        pytest.skip("this machine allows no mounts")


@pytest.mark.usefixtures("_with_mounts")
def test_without_a_writable_folder_one_sentence_says_what_to_mount() -> None:
    # Was wrong: a traceback of sixty lines.
    process = start_on_read_only_machine("")
    output, log = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (2, "")
    (line,) = log.splitlines()
    assert line.startswith("error: neither /dev/shm nor a folder for temporary files")
    assert "--tmpfs /tmp" in line
    assert "TMPDIR" in line


# Python's folders for temporary files; a mount on one hides the project where that lies in it.
TEMPORARY = next(
    folder
    for folder in ("/tmp", "/var/tmp")  # noqa: S108
    if not any(place.is_relative_to(folder) for place in (ROOT, Path(sys.prefix)))
)


@pytest.mark.usefixtures("_with_mounts")
@pytest.mark.parametrize("writable", [TEMPORARY, "/dev/shm"])  # noqa: S108
def test_one_writable_folder_is_enough_to_start(writable: str) -> None:
    url = f"sqlite:///{writable}/encore.db"
    with start_on_read_only_machine(writable, ENCORE_DATABASE_URL=url) as process:
        assert process.stdout
        server = Server(process, process.stdout.readline())
        eventually(lambda: server.get("/health/live")[0] == 200)
        assert server.end() == (0, "")


@pytest.mark.parametrize("files", [12, 20, 63])
def test_too_few_files_are_one_sentence(tmp_path: Path, files: int) -> None:
    # Was wrong: a traceback, or an event store that seemed to lack its folder.
    code = (
        f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}));"
        "os.execv(sys.executable, [sys.executable, '-m', 'app', '--port', '0'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ
        | {"ENCORE_MODELS": str(tmp_path), "ENCORE_DATABASE_URL": f"sqlite:///{tmp_path}/e.db"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: the limit of open files is {files}, below 64: ")
    assert "ulimit -n" in line


@pytest.mark.parametrize("stream", ["closed", "full", "broken"])
def test_a_stream_that_takes_nothing_does_not_keep_the_service_from_starting(
    tmp_path: Path, stream: str
) -> None:
    # Was wrong: where stdout was full or broken, the service ended in a traceback.
    how = {"closed": ">&- <&-", "full": ">/dev/full", "broken": "| true"}[stream]
    command = f"exec {sys.executable} -m app --port 0 {how}"
    database = tmp_path / "encore.db"
    with subprocess.Popen(
        ["sh", "-c", command],
        cwd=ROOT,
        env=os.environ
        | {"ENCORE_MODELS": str(tmp_path), "ENCORE_DATABASE_URL": f"sqlite:///{database}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            eventually(database.exists)
            assert process.poll() is None
        finally:
            os.killpg(process.pid, signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in log


def test_closed_streams_are_not_taken_by_other_files(tmp_path: Path) -> None:
    # Was wrong: what a library wrote to stderr could get into a file of the service.
    code = (
        "import os; [os.close(number) for number in range(3)];"
        "from app.__main__ import _open_streams; _open_streams();"
        f"file = open({str(tmp_path / 'file')!r}, 'w'); os.write(2, b'x');"
        "file.write(str(file.fileno() > 2))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert (tmp_path / "file").read_text() == "True"


def test_misspelt_variables_end_it_with_the_right_names() -> None:
    process = start(ENCORE_PROT="80", ENCORE_API_KYE="secret", ENCORE_SERVICE_HOST="10.0.0.1")
    output, log = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (2, "")
    assert log.splitlines() == [
        "error: ENCORE_API_KYE is not a setting: do you mean ENCORE_API_KEY?",
        "error: ENCORE_PROT is not a setting: do you mean ENCORE_PORT?",
    ]


def test_the_port_of_kubernetes_gets_a_hint() -> None:
    process = start(ENCORE_PORT="tcp://10.0.0.1:8000")
    _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert log.startswith("error: ENCORE_PORT is 'tcp://10.0.0.1:8000': expected")
    assert "enableServiceLinks: false" in log


def test_other_variables_of_this_prefix_are_named_once(tmp_path: Path) -> None:
    variables = {"ENCORE_FOOBAR": "1", "ENCORE_PORT_8000_TCP": "tcp://10.0.0.1:8000"}
    with serving(tmp_path, "--workers", "2", **variables) as server:
        eventually(lambda: server.get("/health/live")[0] == 200)
        _, log = server.end()
    assert log.count("nothing reads ENCORE_FOOBAR\n") == 1
    assert "8000_TCP" not in log


def test_the_version_is_shown() -> None:
    done = start("--version").communicate(timeout=PATIENCE)
    assert done == (f"{__version__}\n", "")


def test_a_run_that_was_killed_is_said_by_the_next_one(tmp_path: Path) -> None:
    variables = {"ENCORE_STATE": str(tmp_path), "ENCORE_PORT": "0"}
    models = tmp_path / "models"
    database = f"sqlite:///{tmp_path}/encore.db"
    line = re.compile(r"the last run did not end cleanly \(process (\d+), started 20")
    with serving(models, ENCORE_DATABASE_URL=database, **variables) as server:
        eventually(lambda: server.get("/health/live")[0] == 200)
        killed = server.process.pid
        _, log = server.end(signal.SIGKILL)
        assert not line.search(log)
    with serving(models, ENCORE_DATABASE_URL=database, **variables) as server:
        eventually(lambda: server.get("/health/live")[0] == 200)
        # Another one beside it takes the note for nobody's.
        with serving(models, ENCORE_DATABASE_URL=database, **variables) as other:
            eventually(lambda: other.get("/health/live")[0] == 200)
            assert not line.search(other.end()[1])
        _, log = server.end()
        found = line.search(log)
        assert found
        assert int(found[1]) == killed
    assert not list(tmp_path.glob("*.running"))


def test_the_service_and_its_workers_share_one_arena(tmp_path: Path) -> None:
    if shutil.which("ldd") is None:
        pytest.skip("there is no glibc")
    code = """
import ctypes, sys, threading
if sys.argv[2] == "one":
    from app.server.allocator import share_one_arena
    share_one_arena()
together = threading.Barrier(8)
def allocate():
    together.wait()
    blocks = [bytearray(5000) for _ in range(1000)]
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""
    arenas = {}
    for how in ("one", "many"):
        environment = {key: value for key, value in os.environ.items() if "MALLOC" not in key}
        command = [sys.executable, "-c", code, str(tmp_path / how), how]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        arenas[how] = (tmp_path / how).read_text().count("<heap nr=")
    assert arenas["one"] == 1
    assert arenas["many"] > 1
