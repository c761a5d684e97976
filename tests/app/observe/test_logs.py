from __future__ import annotations

import io
import logging
from logging.config import dictConfig

import pytest

from app.observe.logs import LineFormatter, log_config


def logged(message: str, *arguments: object, error: BaseException | None = None) -> str:
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("app", logging.ERROR, "", 1, message, arguments, info)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter("%(levelname)s: %(message)s"))
    handler.handle(record)
    return stream.getvalue()


def test_a_message_is_one_line_whatever_its_arguments_hold() -> None:
    # Was wrong: the name of a version could begin another line, and colour a terminal.
    line = logged("model %s", "x\n2026-11-29 INFO 1 app: all is well\x1b[2J\u202e")
    assert line == r"ERROR: model x\n2026-11-29 INFO 1 app: all is well\u001b[2J\u202e" + "\n"


def test_the_lines_of_a_traceback_are_indented() -> None:
    try:
        raise ValueError("x\nERROR: forged\x1b")
    except ValueError as error:
        first, *others = logged("it failed\n", error=error).splitlines()
    assert first == "ERROR: it failed"
    assert all(line.startswith("    ") for line in others)
    assert others[-1] == r"    ERROR: forged\u001b"


@pytest.mark.parametrize("logger", ["app.x", "uvicorn.error", "uvicorn.access", "another"])
def test_every_logger_of_the_service_writes_so(
    logger: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        dictConfig(log_config("info"))
        logging.getLogger(logger).error("a\nb")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    assert capsys.readouterr().err.endswith(rf" {logger}: a\nb" + "\n")
