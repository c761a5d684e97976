"""What goes wrong in Spark, in a sentence that says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.errors import EncoreError
from training.errors import DatasetError, TrainingError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Errors of our own come out of a task as the last line of a traceback.
_OURS: Final = re.compile(r"^(?:encore\.)?(?:training|app)\.[\w.]+\.(\w+): (.+?)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Failure:
    """A kind of failure.

    Attributes:
        signs: texts of which one is in what Spark says.
        sentence: what went wrong, and what to do.
    """

    signs: tuple[str, ...]
    sentence: str


# The table of failures; the first that fits is told.
FAILURES: Final = (
    Failure(
        ("No space left on device", "not enough space"),
        "there is no room for what Spark or a task writes; name folders on a larger disk: "
        "--spark-conf spark.local.dir=/FOLDER for what lies between stages, and TMPDIR=/FOLDER",
    ),
    Failure(
        ("OutOfMemoryError", "exit code 137", "exit code 52", "Cannot allocate memory"),
        "Spark ran out of memory; give it more (--spark-conf spark.driver.memory=8g on one "
        "machine, --spark-conf spark.executor.memory=8g on a cluster)",
    ),
    Failure(
        ("All masters are unresponsive", "Master removed our application"),
        "the master of Spark does not answer; is its address right, and can it be reached from "
        "here?",
    ),
    Failure(
        (
            "SparkContext was shut down",
            "SparkContext has been shutdown",
            "Job aborted due to cancel",
        ),
        "the job was cancelled",
    ),
)


@contextmanager
def told(session: SparkSession | None = None) -> Iterator[None]:
    """Turns errors of Spark into errors with a sentence.

    Args:
        session: its jobs are cancelled by Ctrl-C.

    Raises:
        DatasetError: a task said so.
        TrainingError: anything else that Spark says.
    """
    try:
        yield
    except KeyboardInterrupt:
        if session is not None:
            with suppress(Exception):  # the connection may have been in use
                session.sparkContext.cancelAllJobs()
        raise
    except EncoreError:
        raise
    except Exception as error:
        if not _is_of_spark(error):
            raise
        raise _meant(str(error)) from error


def _is_of_spark(error: Exception) -> bool:
    return type(error).__module__.split(".")[0] in {"pyspark", "py4j"} or isinstance(
        error, ConnectionError
    )


def sentence_for(text: str) -> str | None:
    """Returns what went wrong, and what to do; None where what Spark says has no known sign."""
    for failure in FAILURES:
        if any(sign in text for sign in failure.signs):
            return failure.sentence
    return None


def _meant(text: str) -> EncoreError:
    if ours := _OURS.search(text):
        kind = DatasetError if ours[1] == "DatasetError" else TrainingError
        return kind(ours[2])
    if known := sentence_for(text):
        return TrainingError(known)
    first = next((line for line in text.splitlines() if line.strip()), "no reason is given")
    return TrainingError(f"Spark failed: {first.strip()}. More is in its log")
