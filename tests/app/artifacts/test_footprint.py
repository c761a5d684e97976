from __future__ import annotations

import os
from pathlib import Path

from app.artifacts.footprint import Footprint


def test_changes_in_place_are_told_from_files_that_were_removed_or_replaced(tmp_path: Path) -> None:
    names = ("shorter", "other", "same", "gone", "replaced")
    for name in names:
        (tmp_path / name).write_text("content")
        os.utime(tmp_path / name, (1, 1))
    before = Footprint.of(tmp_path, (*names, "missing"))
    assert before == Footprint.of(tmp_path, (*names, "missing"))
    os.truncate(tmp_path / "shorter", 3)
    (tmp_path / "other").write_text("CONTENT")
    os.utime(tmp_path / "other", (1, 1))  # as rsync --inplace --times leaves it
    (tmp_path / "gone").unlink()
    (tmp_path / "next").write_text("con")
    (tmp_path / "next").replace(tmp_path / "replaced")
    after = Footprint.of(tmp_path, (*names, "missing"))
    assert before != after
    assert before.shrunk(after) == ["shorter"]
    assert before.written(after) == ["shorter", "other"]
