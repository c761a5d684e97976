from __future__ import annotations

import threading
import time

import pytest

from training.threads import in_threads


def test_all_blocks_are_done() -> None:
    done: list[int] = []
    in_threads(done.append, range(0, 100, 10))
    assert sorted(done) == list(range(0, 100, 10))


def test_no_thread_outlives_a_failure() -> None:
    # Was wrong: threads went on, and aborted the process when the interpreter went.
    before, begun = threading.enumerate(), list[int]()

    def work(start: int) -> None:
        begun.append(start)
        if start == 0:
            raise KeyboardInterrupt
        time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        in_threads(work, range(10_000))
    assert threading.enumerate() == before
    assert len(begun) < 10_000
