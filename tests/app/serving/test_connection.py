from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.serving.connection import ClientGone, unless_gone


async def stays() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


async def leaves() -> dict[str, Any]:
    return {"type": "http.disconnect"}


def test_finished_work_is_returned_without_watching_the_connection() -> None:
    async def work() -> str:
        return "done"

    assert asyncio.run(unless_gone(work(), leaves)) == "done"


def test_work_is_cancelled_when_the_client_has_gone() -> None:
    was_cancelled = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            was_cancelled.append(True)
            raise

    async def ask() -> None:
        with pytest.raises(ClientGone):
            await unless_gone(work(), leaves)
        assert not asyncio.current_task().cancelling()  # type: ignore[union-attr]

    asyncio.run(ask())
    assert was_cancelled == [True]


def test_an_unexpected_body_does_not_count_as_closing() -> None:
    async def refuses() -> dict[str, Any]:
        raise ValueError("too large")

    async def work() -> str:
        await asyncio.sleep(0.1)  # until the connection is watched
        return "done"

    assert asyncio.run(unless_gone(work(), refuses)) == "done"


def test_cancelling_the_request_cancels_the_work() -> None:
    async def ask() -> None:
        task = asyncio.create_task(unless_gone(asyncio.sleep(60), stays))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(ask())
