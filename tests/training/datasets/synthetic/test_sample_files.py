from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.training.datasets.synthetic.files import contents
from training.datasets.synthetic.generator import PLAYS, PROFILES, generate
from training.datasets.synthetic.sample_files import CARD
from training.errors import DatasetError


def small(out: Path, **more: Any) -> None:
    generate(out, users=30, artists=40, mean_artists_per_user=10, **more)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")

    with pytest.raises(DatasetError, match="is a file: give the folder"):
        small(tmp_path / "out")
    with pytest.raises(DatasetError, match="Choose a folder that can be written"):
        small(tmp_path / "out" / "below")

    assert (tmp_path / "out").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_refused() -> None:
    # Nobody, root included, makes folders in there.
    with pytest.raises(DatasetError, match="Choose a folder that can be written"):
        small(Path("/proc/encore"))


def test_a_sample_is_replaced_only_when_asked(tmp_path: Path) -> None:
    small(tmp_path)
    before = contents(tmp_path)

    with pytest.raises(DatasetError, match="holds a sample already"):
        small(tmp_path, seed=1)
    assert contents(tmp_path) == before

    small(tmp_path, seed=1, overwrite=True)
    assert contents(tmp_path).keys() == before.keys()
    assert contents(tmp_path) != before


@pytest.mark.parametrize("name", [PLAYS, PROFILES])
def test_files_that_are_not_its_own_are_never_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("the real one")

    with pytest.raises(DatasetError, match="was not made by generate"):
        small(tmp_path, overwrite=True)

    assert contents(tmp_path) == {name: b"the real one"}


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(_users: int) -> None:
        raise KeyboardInterrupt

    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(KeyboardInterrupt):
        small(tmp_path, progress=interrupt)

    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_an_interrupted_replacement_leaves_the_earlier_sample(tmp_path: Path) -> None:
    def interrupt(_users: int) -> None:
        raise KeyboardInterrupt

    small(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        small(tmp_path, seed=1, overwrite=True, progress=interrupt)

    assert contents(tmp_path) == before


@pytest.mark.slow
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    # A limit on the size of files fails a write just as a full disk does.
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            "import resource\n"
            "from pathlib import Path\n"
            "from training.datasets.synthetic.generator import generate\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
            f"generate(Path({str(tmp_path)!r}), users=100, artists=200)\n",
        ],
        check=False,
        capture_output=True,
        text=True,
    )

    assert "DatasetError" in run.stderr
    assert "Choose a folder that can be written and has room" in run.stderr
    assert contents(tmp_path) == {}


@pytest.mark.slow
def test_what_a_killed_run_left_is_cleared_away(tmp_path: Path) -> None:
    killed = (
        "import os\n"
        "from pathlib import Path\n"
        "from training.datasets.synthetic.generator import generate\n"
        f"generate(Path({str(tmp_path)!r}), users=30, artists=40, mean_artists_per_user=10,\n"
        "         progress=lambda _users: os._exit(9))\n"
    )
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == 9
    assert not {PLAYS, PROFILES, CARD} & contents(tmp_path).keys()

    small(tmp_path)

    assert contents(tmp_path).keys() == {PLAYS, PROFILES, CARD}


def test_a_second_run_into_the_same_folder_is_refused(tmp_path: Path) -> None:
    def second(_users: int) -> None:
        with pytest.raises(DatasetError, match="another generate is writing"):
            small(tmp_path)

    small(tmp_path, progress=second)

    assert contents(tmp_path).keys() == {PLAYS, PROFILES, CARD}
