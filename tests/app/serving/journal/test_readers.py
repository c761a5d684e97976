from __future__ import annotations

import asyncio
import threading

import pytest

from app.serving.journal.readers import Readers


def test_answers_and_errors_come_back_and_cancelled_questions_are_not_asked() -> None:
    asked: list[str] = []
    may_go_on = threading.Event()

    def first() -> str:
        may_go_on.wait()
        return "first"

    def second() -> None:
        asked.append("second")

    def third() -> None:
        raise ValueError("third")

    async def main() -> None:
        readers = Readers(1, asyncio.get_running_loop())
        readers.start()
        futures = readers.ask(first), readers.ask(second), readers.ask(third)
        futures[1].cancel()
        may_go_on.set()
        assert await futures[0] == "first"
        with pytest.raises(ValueError, match="third"):
            await futures[2]
        await asyncio.to_thread(readers.close, 60)

    before = set(threading.enumerate())
    asyncio.run(main())
    assert asked == []
    assert not [one for one in set(threading.enumerate()) - before if "reader" in one.name]


def test_a_thread_that_hangs_is_not_waited_for() -> None:
    may_go_on = threading.Event()

    async def main() -> None:
        readers = Readers(2, asyncio.get_running_loop())
        readers.start()
        readers.ask(may_go_on.wait)
        await asyncio.to_thread(readers.close, 0.05)

    asyncio.run(main())
    may_go_on.set()
