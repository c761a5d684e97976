from __future__ import annotations

import socket
from pathlib import Path

import pytest

from training.engines.spark.failures import FAILURES, Failure, told
from training.engines.spark.session import check_java, check_master, options_of
from training.engines.spark.settings import SparkSettings
from training.errors import DatasetError, TrainingError


def java(folder: Path, says: str, status: int = 0) -> Path:
    """Writes a Java that says a version."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit {status}\n")
    program.chmod(0o755)
    return folder


def test_no_java_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TrainingError, match="there is none on the PATH; install Java 17"):
        check_java()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(TrainingError, match=f"JAVA_HOME={tmp_path} holds none; install Java 17"):
        check_java()


@pytest.mark.parametrize(
    ("says", "status", "message"),
    [
        ('openjdk version "11.0.2" 2019-01-15', 0, "is Java 11; install Java 17"),
        ('java version "1.8.0_202"', 0, "is Java 8; install Java 17"),
        ("hello", 0, "does not say its version"),
        ('openjdk version "17.0.2"', 3, "does not start"),
    ],
)
def test_a_wrong_java_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, status: int, message: str
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java(tmp_path / "home", says, status)))
    with pytest.raises(TrainingError, match=message):
        check_java()


@pytest.mark.parametrize("says", ['openjdk version "17.0.21"', 'openjdk version "21" 2023-09-19'])
def test_the_right_java_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java(tmp_path / "home", says)))
    check_java()


def test_a_master_that_does_not_answer_is_named() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # nobody listens there
        master = f"spark://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(TrainingError, match=f"the master {master} does not answer: .*refused"):
            check_master(master)
        held.listen()
        check_master(f"spark://127.0.0.1:1,127.0.0.1:{held.getsockname()[1]}")
    for wrong in ("spark://host", "spark://:7077", "spark://h:99999999"):
        with pytest.raises(TrainingError, match="does not answer"):
            check_master(wrong)
    check_master("local[2]")
    check_master("yarn")


def test_given_options_come_last() -> None:
    alone = options_of(SparkSettings())
    assert alone["spark.master"] == "local[*]"
    assert int(alone["spark.driver.memory"].removesuffix("m")) >= 1024
    given = {"spark.driver.memory": "3g", "spark.app.name": "mine"}
    local = options_of(SparkSettings("local[2]", given))
    assert (local["spark.master"], local["spark.driver.memory"]) == ("local[2]", "3g")
    assert local["spark.app.name"] == "mine"
    cluster = options_of(SparkSettings("spark://host:7077"))
    assert "spark.driver.memory" not in cluster
    assert "spark.master" not in options_of(SparkSettings(), is_submitted=True)


class Py4JError(Exception):
    """Stands for an error that came from the Java of Spark."""


Py4JError.__module__ = "py4j.protocol"


@pytest.mark.parametrize("failure", FAILURES, ids=lambda one: one.signs[0])
def test_a_failure_of_spark_is_a_sentence(failure: Failure) -> None:
    for sign in failure.signs:
        with pytest.raises(TrainingError) as raised, told():
            raise Py4JError(f"An error occurred\n: java.io.IOException: {sign}\n\tat x")
        assert str(raised.value) == failure.sentence


def test_an_error_of_a_task_is_that_of_the_dataset() -> None:
    text = (
        "An exception was thrown from the Python worker. Please see the stack trace below.\n"
        'Traceback (most recent call last):\n  File "x.py", line 1, in f\n'
        "training.errors.DatasetError: /data/a.csv is a folder; name a file\n"
    )
    with pytest.raises(DatasetError, match=r"^/data/a\.csv is a folder; name a file$"), told():
        raise Py4JError(text)


def test_other_failures_say_what_spark_says_and_own_errors_stay() -> None:
    with pytest.raises(TrainingError, match=r"Spark failed: odd\. More is in its log"), told():
        raise Py4JError("\nodd\nmore")
    with pytest.raises(ZeroDivisionError), told():
        raise ZeroDivisionError
