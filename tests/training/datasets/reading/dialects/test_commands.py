"""Tables in foreign dialects, as a user gives them to the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training.datasets.tables import write

ROOT = Path(__file__).parents[5]
ROWS = [(f"u{n % 9}", f"x{n % 13}", n % 7 + 1, f"Björk {n % 13}") for n in range(100)]


def train(folder: Path, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Trains on a table in a process of its own."""
    tokens = ["train", "--dataset", "table", "--data", str(file), "--models", str(folder / "m")]
    quick = ["--factors", "4", "--iterations", "1", "--no-evaluation", "--no-report"]
    return subprocess.run(
        [sys.executable, "-m", "training", *tokens, *quick, *options],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "400", "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_the_most_hostile_table_is_read(tmp_path: Path) -> None:
    lines = ["sep=;", "user_id; item_id ;weight;name"]
    lines += [
        f'{user};{item};"1.00{plays},5";"{name}; ""live"""' for user, item, plays, name in ROWS
    ]
    file = write(tmp_path / "plays.txt", "\r".join([*lines, ""]).encode("utf-16"))
    ended = train(tmp_path, file)
    assert ended.returncode == 0, ended.stderr
    assert (
        f"note: {file}: read as its first lines show: UTF-16 by its mark, separated by ';', lines "
        "end in CR alone, a comma before decimals and a point between thousands (--separator "
        "--decimal --thousands would say otherwise)"
    ) in ended.stderr
    (manifest,) = (tmp_path / "m").glob("*/manifest.json")
    dataset = json.loads(manifest.read_text())["dataset"]
    assert dataset["rows_read"] == 100
    assert list(tmp_path.glob("encore-*")) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (
            "user_id,item_id\nu,x\nv,y\n",
            ["--separator", ";"],
            "has no column 'user_id', 'item_id'; it has 'user_id,item_id'. The options "
            "--user-column and --item-column name them. "
            "Its first line has no ';'; --separator names what stands between its fields",
        ),
        (
            "user_id,item_id\nu,\x81\n",
            ["--encoding", "cp1252"],
            "is not cp1252: line 2 has the bytes 81: 'u,�'. --encoding names another one",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    tmp_path: Path, text: str, options: list[str], said: str
) -> None:
    file = write(tmp_path / "plays.csv", text.encode("latin-1"))
    ended = train(tmp_path, file, *options)
    assert ended.returncode == 1
    sentence = f" {said}\n"
    assert ended.stderr == f"error: {file}{sentence}"
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
def test_an_interrupted_reading_leaves_no_file_behind(tmp_path: Path) -> None:
    # Enough for some seconds of decoding.
    line = "".join(f"u{n};x{n};1;Björk\n" for n in range(1000))
    with (tmp_path / "plays.csv").open("wb") as file:
        file.write("user_id;item_id;weight;name\n".encode("utf-16"))
        for _ in range(3000):
            file.write(line.encode("utf-16-le"))
    (tmp_path / "tmp").mkdir()
    started = subprocess.Popen(
        [
            *(sys.executable, "-m", "training", "train", "--dataset", "table"),
            *("--data", str(tmp_path / "plays.csv"), "--models", str(tmp_path / "m")),
        ],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "tmp").glob("encore-*/decoded-*")):
        assert started.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=120)
    assert started.returncode == 130, said
    assert "Traceback" not in said
    assert list((tmp_path / "tmp").iterdir()) == []
