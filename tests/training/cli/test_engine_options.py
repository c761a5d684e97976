from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.cli.commands import error_of, of_table, write_rows
from training.cli import main
from training.cli.engine_options import ENGINES, EngineName, EngineOptions
from training.engines.in_memory import InMemory
from training.engines.spark.engine import InSpark
from training.engines.spark.settings import SparkSettings


def test_each_engine_has_a_name() -> None:
    assert set(ENGINES) == set(EngineName)
    assert EngineOptions().chosen() == InMemory()
    options = EngineOptions(
        engine=EngineName.SPARK,
        spark_master="local[3]",
        spark_conf="spark.a=1 'spark.driver.extraJavaOptions=-Da=b -Dc'",
    )
    conf = {"spark.a": "1", "spark.driver.extraJavaOptions": "-Da=b -Dc"}
    assert options.chosen() == InSpark(SparkSettings("local[3]", conf))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--spark-master", "local[2]"], "--spark-master does nothing without --engine spark"),
        (["--spark-conf", "spark.a=1"], "--spark-conf does nothing without --engine spark"),
        (["--engine", "spark", "--spark-conf", "a=1"], "such as spark.executor.memory=8g, not 'a'"),
        (["--engine", "spark", "--spark-conf", "spark.a"], "memory=8g, not 'spark.a'"),
        (["--engine", "spark", "--spark-conf", "'"], "No closing quotation"),
        (["--engine", "spark", "--events", "sqlite:///x.db"], "a dataset without events"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "plays.csv", 100)
    assert main(["train", *of_table(path), "--models", str(tmp_path / "m"), *options]) == 1
    assert message in error_of(capsys)
    assert not (tmp_path / "m").exists()


def test_a_machine_without_java_is_told_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyspark")
    path = write_rows(tmp_path / "plays.csv", 100)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert main(["train", *of_table(path), "--no-events", "--engine", "spark"]) == 1
    assert f"Spark needs Java, and JAVA_HOME={tmp_path} holds none; install" in error_of(capsys)


@pytest.mark.slow
def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "plays.csv", 3000)
    models, place = tmp_path / "models", tmp_path / "tmp"
    place.mkdir()
    options = ["--no-events", "--models", str(models), "--engine", "spark"]
    conf = f"spark.driver.memory=1g spark.ui.enabled=false spark.local.dir={place}"
    options += ["--spark-master", "local[1]", "--spark-conf", conf]
    process = subprocess.Popen(
        [sys.executable, "-m", "training", "train", *of_table(path), *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(place)},
    )
    assert process.stderr is not None
    try:
        told = ""
        while "Spark: local[1]" not in told:  # its first job has begun, or is about to
            line = process.stderr.readline()
            assert line, told
            told += line
        process.send_signal(signal.SIGINT)
        told += process.communicate(timeout=100)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, told
    assert told.strip().endswith("error: interrupted")
    assert "Traceback" not in told
    assert not list(models.glob("*/manifest.json"))
    assert not list(place.glob("encore-model-*"))
