"""A session of Spark: its Java, its options, its log and its web page."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Final

from training.engines.spark.failures import sentence_for
from training.engines.spark.settings import LOCAL, SparkSettings
from training.errors import TrainingError
from training.progress import Observer

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Spark 4 runs on Java 17 and 21.
_LEAST_JAVA: Final = 17
_VERSION: Final = re.compile(r'version "(?:1\.)?(\d+)')
_INSTALL: Final = (
    "install Java 17 (apt-get install openjdk-17-jre-headless), or name one in JAVA_HOME"
)
# What workers import from: the folder above the outermost package.
_ROOT: Final = Path(__file__).parents[__name__.count(".")]
# ``spark-submit`` runs the program beside a Java that it has started.
_SUBMITTED: Final = "PYSPARK_GATEWAY_PORT"
_STANDALONE: Final = "spark://"
_MASTER_SECONDS: Final = 10
_DRIVER_SHARE: Final = 0.4
_DEFAULTS: Final = {
    "spark.app.name": "encore",
    "spark.ui.showConsoleProgress": "false",
    # One thread for each core is enough: a task of Python is one process.
    "spark.executorEnv.OPENBLAS_NUM_THREADS": "1",
    "spark.executorEnv.OMP_NUM_THREADS": "1",
    "spark.executorEnv.PYTHONPATH": str(_ROOT),
    "spark.sql.execution.arrow.maxRecordsPerBatch": "50000",
    "spark.sql.session.timeZone": "UTC",
}


def open_session(settings: SparkSettings, observer: Observer) -> SparkSession:
    """Starts Spark, or takes the session that ``spark-submit`` has started.

    What Spark writes goes to a file of its own.

    Args:
        settings: where and how it runs.
        observer: told where its web page and its log are.

    Raises:
        TrainingError: PySpark or Java is missing, or Spark does not start.
    """
    try:
        from pyspark.sql import SparkSession  # noqa: PLC0415 - only where it is used
    except ImportError:
        raise TrainingError(
            "--engine spark needs PySpark, which is not installed: pip install "
            "'encore-recommender[training,spark]', or pip install -r requirements/spark.txt"
        ) from None
    is_submitted = _SUBMITTED in os.environ
    if not is_submitted:
        check_java()
        check_master(settings.master or LOCAL)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))
    )
    if (settings.master or LOCAL).startswith("local") and not is_submitted:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # of its web page, too
    # Only its Arrow functions are used, which work.
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    builder = SparkSession.builder
    for name, value in options_of(settings, is_submitted=is_submitted).items():
        builder = builder.config(name, value)
    log = Path(mkdtemp(prefix="encore-spark-")) / "spark.log"
    _loggers_to(log)
    on_ctrl_c = signal.getsignal(signal.SIGINT)
    try:
        with _streams_to(log):
            session = builder.getOrCreate()
    except Exception as error:
        said = f"{error}\n{log.read_text(errors='replace')}"
        known = sentence_for(said) or f"Spark does not start: {_last_reason(said)}"
        raise TrainingError(f"{known}. The log of Spark is {log}") from error
    if threading.current_thread() is threading.main_thread():
        # That of PySpark speaks to Java first, which fails where another call is under way.
        signal.signal(signal.SIGINT, on_ctrl_c)
    session.sparkContext.setLogLevel("WARN")
    page = session.sparkContext.uiWebUrl
    shown = f"web page {page}, " if page else ""
    observer.note(f"Spark: {session.sparkContext.master}, {shown}log {log}")
    return session


def options_of(settings: SparkSettings, *, is_submitted: bool = False) -> dict[str, str]:
    """Returns the options of Spark: the defaults, then the master, then what is given."""
    options = dict(_DEFAULTS)
    if settings.master is not None or not is_submitted:
        options["spark.master"] = settings.master or LOCAL
    if options.get("spark.master", "").startswith("local"):
        options["spark.driver.memory"] = f"{_local_memory()}m"
        options["spark.driver.bindAddress"] = options["spark.driver.host"] = "127.0.0.1"
    return options | dict(settings.conf)


def check_java() -> None:
    """Refuses a machine without the Java that Spark needs.

    Raises:
        TrainingError: there is none, it is too old, or it does not start.
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    if java is None:
        where = f"JAVA_HOME={home} holds none" if home else "there is none on the PATH"
        raise TrainingError(f"Spark needs Java, and {where}; {_INSTALL}")
    try:
        told = subprocess.run(  # noqa: S603 - the Java of this machine
            [java, "-version"], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise TrainingError(f"{java} does not start: {error}; {_INSTALL}") from error
    found = _VERSION.search(told.stderr + told.stdout)
    if found is None or int(found[1]) < _LEAST_JAVA:
        what = f"is Java {found[1]}" if found else "does not say its version"
        raise TrainingError(
            f"Spark needs Java {_LEAST_JAVA} or newer, and {java} {what}; {_INSTALL}"
        )


def check_master(master: str) -> None:
    """Refuses the master of a standalone cluster that does not answer; Spark asks for a minute.

    Args:
        master: its address, ``spark://HOST:PORT`` or several of them with commas between.

    Raises:
        TrainingError: nobody answers there.
    """
    if not master.startswith(_STANDALONE):
        return
    reason = "it names no host and port"
    for place in master.removeprefix(_STANDALONE).split(","):
        host, _, port = place.rpartition(":")
        if not host or not port.isdigit():
            continue
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_MASTER_SECONDS).close()
        except (OSError, OverflowError) as error:
            reason = str(error)
        else:
            return
    raise TrainingError(
        f"the master {master} does not answer: {reason}. Is the address right, and can it be "
        "reached from here?"
    )


def _local_memory() -> int:
    """Returns the memory of a local Spark in MiB, a share of that of the machine."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1024, int(_DRIVER_SHARE * total / 2**20))


def _loggers_to(log: Path) -> None:
    """Lets the Python side of Spark log to the file as well, with its tracebacks."""
    to_file = logging.FileHandler(log, delay=True)
    for name in ("py4j", "pyspark"):
        logger = logging.getLogger(name)
        logger.handlers = [to_file]
        logger.propagate = False
    if not logging.root.handlers:  # py4j also logs there, which would go to stderr
        logging.root.addHandler(to_file)


@contextmanager
def _streams_to(log: Path) -> Iterator[None]:
    """Lets the processes that are started in the block write to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    before = [os.dup(stream) for stream in (1, 2)]
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for stream in (1, 2):
            os.dup2(file, stream)
        yield
    finally:
        for stream, former in zip((1, 2), before, strict=True):
            os.dup2(former, stream)
            os.close(former)
        os.close(file)


def _last_reason(said: str) -> str:
    """Returns the last reason that Java gives, or the first line."""
    reasons = [line for line in said.splitlines() if line.startswith("Caused by: ")]
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return (
        reasons[-1].removeprefix("Caused by: ") if reasons else (lines or ["no reason is given"])[0]
    )
