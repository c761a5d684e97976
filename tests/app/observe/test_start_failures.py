from __future__ import annotations

import asyncio
import errno
import logging
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.errors import InvalidSettings
from app.http.start import StartFailures
from app.observe.start_failures import sentence_for


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (OSError(errno.ENOSPC, "No space", "/models"), "/models: no room is left there"),
        (OSError(errno.EROFS, "Read-only", "/models"), "/models: it is read-only; mount"),
        (PermissionError(errno.EACCES, "Denied", "/models"), "/models: this user may not"),
        (RuntimeError("can't start new thread"), "pids_limit"),
        (MemoryError(), "there is not enough memory"),
        (InvalidSettings("neither this nor that"), "neither this nor that"),
    ],
)
def test_what_the_machine_does_not_allow_is_a_sentence(error: Exception, said: str) -> None:
    assert said in str(sentence_for(error))


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x"), OSError("x"), KeyError()])
def test_a_fault_of_the_code_is_none(error: Exception) -> None:
    assert sentence_for(error) is None


@pytest.mark.parametrize(
    ("error", "said", "has_traceback"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "cannot start: the process may not", False),
        (ValueError("a fault"), "cannot start", True),
    ],
)
def test_the_log_has_the_sentence_instead_of_a_traceback(
    caplog: pytest.LogCaptureFixture, error: Exception, said: str, *, has_traceback: bool
) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "lifespan.startup.failed", "message": "Traceback: many lines"})
        raise error

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    with caplog.at_level(logging.INFO), pytest.raises(type(error)):
        asyncio.run(StartFailures(app)({"type": "lifespan"}, receive, send))
    assert sent == [{"type": "lifespan.startup.failed", "message": ""}]
    (record,) = caplog.records
    assert record.getMessage().startswith(said)
    assert bool(record.exc_info) is has_traceback
