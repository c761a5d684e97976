"""Values of a file: of the type that the option has, and passwords that are not shown."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from copy import copy
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

import tomlkit
from cyclopts import CycloptsError, Token
from cyclopts.argument import Argument
from cyclopts.validators import Number

from training.errors import TrainingError

_SQLITE: Final = "sqlite:///"
_MASK: Final = "***"
# As cyclopts reads it.
_DURATION: Final = re.compile(r"(\d+(\.\d+)?[smhdwMy])+")
# user:PASSWORD@host, and ?password=PASSWORD, in a URL.
_PASSWORDS: Final = (
    re.compile(r"(?P<before>://[^:/@\s]*:)(?P<password>[^\s\"']*)(?=@)"),
    re.compile(r"(?P<before>[?&](?:ssl)?password=)(?P<password>[^&\s\"']*)", re.IGNORECASE),
)


def tokens_of(argument: Argument, given: Any, folder: Path, *, source: str) -> list[Token]:
    """Returns what an option gets from a file.

    Args:
        argument: the option.
        given: the value in the file.
        folder: paths count from here.
        source: the file, for messages.

    Raises:
        ValueError: the value is none of this option; the message says what is expected.
    """
    if given is False and argument.resolved_hint is not bool and argument.negatives:
        return [Token(source=source, implicit_value=None)]
    if isinstance(given, str) and masked(given) == given and _MASK in _passwords(given):
        raise ValueError(
            "the password is masked; write it there, or leave the key out and set the variable "
            "ENCORE_DATABASE_URL"
        )
    try:
        tokens = _converted(argument, given, folder, source)
        probe = copy(argument)
        probe.tokens = tokens
        probe.convert_and_validate()
    except (CycloptsError, ValueError) as error:
        raise ValueError(f"expected {expected(argument)}") from error
    return tokens


def _converted(argument: Argument, given: Any, folder: Path, source: str) -> list[Token]:
    kinds = _kinds_of(argument)
    hint = kinds[0]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return [Token(source=source, implicit_value=hint(given))]
    if datetime in kinds and isinstance(given, date):
        return [Token(source=source, implicit_value=_KINDS[datetime](given, folder))]
    if kinds == (hint,) and hint in _KINDS and not (hint is datetime and isinstance(given, str)):
        value = _KINDS[hint](given, folder)
        return [Token(source=source, implicit_value=value)]
    if Path in kinds and isinstance(given, str) and not _DURATION.fullmatch(given):
        return [Token(source=source, implicit_value=_path(given, folder))]
    # Of other types, a text is read as on the command line; a list has several.
    values = given if isinstance(given, list) else [given]
    if not values or not all(isinstance(value, str | int | float) for value in values):
        raise ValueError
    return [
        Token(source=source, value=_text(value), index=number)
        for number, value in enumerate(values)
    ]


def _kinds_of(argument: Argument) -> tuple[Any, ...]:
    """Returns the types of which an option is one, for most a single one."""
    hint = argument.resolved_hint
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _boolean(given: Any, _: Path) -> bool:
    if not isinstance(given, bool):
        raise ValueError
    return given


def _whole(given: Any, _: Path) -> int:
    if not isinstance(given, int) or isinstance(given, bool):
        raise ValueError
    return given


def _number(given: Any, _: Path) -> float:
    if not isinstance(given, int | float) or isinstance(given, bool) or not math.isfinite(given):
        raise ValueError
    return float(given)


def _string(given: Any, folder: Path) -> str:
    if not isinstance(given, str):
        raise ValueError
    if given.startswith(_SQLITE):
        place = given.removeprefix(_SQLITE)
        return _SQLITE + str(folder / place) if place else given
    return given


def _path(given: Any, folder: Path) -> Path:
    if not isinstance(given, str) or not given:
        raise ValueError
    # A URL or standard input is no place in a folder; the command says what it makes of it.
    if given == "-" or "://" in given:
        return Path(given)
    return folder / Path(given).expanduser()


def _time(given: Any, _: Path) -> datetime:
    if isinstance(given, datetime):
        return given
    if isinstance(given, date):
        return datetime.combine(given, time_of_day())
    raise ValueError


_KINDS: Final[Mapping[Any, Callable[[Any, Path], Any]]] = {
    bool: _boolean,
    int: _whole,
    float: _number,
    str: _string,
    Path: _path,
    datetime: _time,
}
_WORDS: Final[Mapping[Any, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text in quotation marks",
    Path: "a path in quotation marks",
    timedelta: 'a duration such as "5m"',
    datetime: "a time such as 2026-11-01T00:00:00",
}
_BOUNDS: Final = {"gt": "above", "gte": "at least", "lt": "below", "lte": "at most"}


def expected(argument: Argument) -> str:
    """Returns what the value of an option may be, in words."""
    hint = argument.resolved_hint
    kinds = [kind for kind in _kinds_of(argument) if get_origin(kind) is not Literal]
    known = [_WORDS[kind] for kind in kinds if kind in _WORDS]
    choices = argument.get_choices(force=True) or ()
    if choices and not known:
        words = f"one of {', '.join(choices)}"
    else:
        words = ", or ".join([*known, *choices]) or "a value as on the command line"
    validators = argument.parameter.validator
    every = (validators,) if callable(validators) else tuple(validators or ())
    numbers = [one for one in every if isinstance(one, Number)]
    bounds = [
        f"{word} {bound:g}"
        for number in numbers
        for name, word in _BOUNDS.items()
        if (bound := getattr(number, name)) is not None
    ]
    off = ", or false for none" if hint is not bool and argument.negatives else ""
    limits = " and ".join(bounds)
    limits = f" of {limits}" if limits.startswith("at ") else f" {limits}".rstrip()
    return words + limits + off


def to_toml(value: Any) -> Any:
    """Returns a value of an option as a file has it: absolute paths, no password."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        is_place = str(value) != "-" and ":/" not in str(value)
        return str(value.absolute()) if is_place else str(value)
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    if isinstance(value, str):
        return _string(value, Path.cwd()) if value.startswith(_SQLITE) else masked(value)
    if isinstance(value, list | tuple):
        return [to_toml(one) for one in value]
    return value


def masked(text: str) -> str:
    """Returns a text without the passwords of URLs in it."""
    for pattern in _PASSWORDS:
        text = pattern.sub(rf"\g<before>{_MASK}", text)
    return text


def _passwords(text: str) -> list[str]:
    return [match["password"] for pattern in _PASSWORDS for match in pattern.finditer(text)]


def shown(value: Any) -> str:
    """Returns a value as it stands in a file, for a message; no password, and not too long."""
    try:
        text = tomlkit.item(value).as_string()
    except (ValueError, TypeError):
        text = repr(value)
    text = masked(" ".join(text.split()))
    return text if len(text) <= 80 else f"{text[:79]}…"


def refusal(path: Path, section: str, key: str, value: Any, reason: str) -> TrainingError:
    """Returns the error of a wrong value."""
    return TrainingError(f"{path}: [{section}] {key} is {shown(value)}; {reason}")


def _text(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
