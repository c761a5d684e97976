from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from queue import Empty

import pytest

from app.artifacts.models_folder import ModelsFolder
from app.model.model import Model
from app.serving import leases as leases_module
from app.serving.leases import Leases, Wakeups, hear_signals, listen, stop_listening
from app.serving.model_follower import ModelFollower
from tests.builders import CREATED_AT, publish_small


@pytest.fixture(autouse=True)
def hearing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hears the kernel during a test; skips it where files cannot be leased."""
    monkeypatch.setattr(leases_module, "_is_heard", [])
    before = signal.getsignal(signal.SIGIO)
    hear_signals()
    probe = tmp_path / "probe"
    probe.write_text("x")
    leases = Leases.take([probe], tmp_path)
    assert leases is not None
    is_possible = bool(leases._descriptors)
    leases.release()
    if is_possible:
        yield
    signal.signal(signal.SIGIO, before)
    if not is_possible:
        pytest.skip("the file system has no leases")


def truncating(path: Path) -> subprocess.Popen[bytes]:
    """Truncates a file, in another process that may have to wait."""
    return subprocess.Popen(
        [sys.executable, "-c", "import os, sys; os.truncate(sys.argv[1], 0)", str(path)]
    )


def test_whoever_writes_to_a_leased_file_waits_until_it_is_given_back(tmp_path: Path) -> None:
    file, wakeups = tmp_path / "file", Wakeups()
    file.write_text("content")
    listen(wakeups)
    one, other = Leases.take([file], tmp_path), Leases.take([file], tmp_path)  # as two workers do
    assert one is not None
    assert other is not None
    writer = truncating(file)
    try:
        woken = False
        while not woken:
            with suppress(Empty):
                wakeups.get(timeout=0.05)  # the main thread has to run for its signals
                woken = True
        assert one.are_wanted_back()
        one.release()
        assert file.read_text() == "content"
        other.release()
        assert writer.wait(30) == 0
        assert file.read_text() == ""
    finally:
        one.release()
        other.release()
        writer.wait(30)
        stop_listening(wakeups)


def test_a_file_that_is_open_for_writing_is_not_leased(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("wb"):
        assert Leases.take([file], tmp_path) is None


def test_a_version_is_out_of_service_before_anybody_can_truncate_it(
    model: Model, tmp_path: Path
) -> None:
    """Lists were made of pages that were gone, and workers died of reading them."""
    models = tmp_path / "models"
    good = publish_small(model, models)
    served = publish_small(model, models, created_at=CREATED_AT + timedelta(seconds=1))
    follower = ModelFollower(ModelsFolder(models), poll_seconds=3600, verify_bytes=2**40)
    follower.start()
    file = models / served / "top_items.npy"
    size = file.stat().st_size
    try:
        assert follower.version == served
        writer = truncating(file)
        seen = []
        while file.stat().st_size == size:
            seen.append((follower.version, file.stat().st_size))
            time.sleep(0.005)
        assert writer.wait(30) == 0
        in_time = [version for version, then in seen if then == size]
        assert in_time[-1] == good
        assert None not in in_time  # there was no gap either
        assert file.stat().st_size == 0
    finally:
        follower.close()
