"""The variables that begin with ``ENCORE_``, and which of them are misspelt.

A misspelt variable would leave its setting at the default without a word: ``ENCORE_API_KYE`` would
start a service without a key. So a name within two letters of a known one is refused.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.text import visible

PREFIX: Final = "ENCORE_"
# Variables beside the settings, and who reads them.
OTHER_VARIABLES: Final[Mapping[str, str]] = {
    "ENCORE_TRAIN_MEMORY": "docker-compose.yml",
    "ENCORE_SERVE_MEMORY": "docker-compose.yml",
    "ENCORE_POSTGRES_MEMORY": "docker-compose.yml",
    "ENCORE_POSTGRES_PASSWORD": "docker-compose.yml",
    "ENCORE_TEST_DATA": "tests",
}
# How many letters a misspelt name is away from the right one.
_NEAR: Final = 2
_ECHO: Final = 80
_MASK: Final = "**********"
# What Kubernetes and links of Docker set in every container for a service whose name begins so.
_SERVICE_LINK: Final = re.compile(
    rf"{PREFIX}(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?|NAME)"
    rf"|{PREFIX}(\w+_)?ENV_\w+"
)
_LINK_VALUE: Final = re.compile(r"(tcp|udp|sctp)://")
LINK_HINT: Final = (
    "Kubernetes sets it for a Service named encore; give the Service another name, or set "
    "enableServiceLinks: false in the pod"
)


@dataclass(frozen=True, slots=True)
class Spelling:
    """What is wrong with the names of variables.

    Attributes:
        misspelt: a sentence for each name that is nearly that of a known variable.
        unknown: other names that nothing reads.
    """

    misspelt: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def is_service_link(name: str, value: str) -> bool:
    """Says whether Kubernetes or Docker sets a variable for a service of this name.

    ``ENCORE_PORT`` is a setting as well; there the value decides.
    """
    if _LINK_VALUE.match(value):
        return _SERVICE_LINK.fullmatch(name) is not None
    return name != f"{PREFIX}PORT" and _SERVICE_LINK.fullmatch(name) is not None


def check_spelling(environment: Mapping[str, str], settings: Iterable[str]) -> Spelling:
    """Compares the names of variables with the known ones.

    Args:
        environment: the variables.
        settings: the names of those that are settings.
    """
    known = {*settings, *OTHER_VARIABLES}
    misspelt, unknown = [], []
    for name, value in sorted(environment.items()):
        # As in the settings, upper and lower case are the same.
        spelt = name.upper()
        if not spelt.startswith(PREFIX.rstrip("_")) or spelt in known:
            continue
        if is_service_link(spelt, value) or not value:  # an empty variable counts as unset
            continue
        shown = visible(name[:_ECHO])
        if near := _nearest(spelt, known):
            misspelt.append(f"{shown} is not a setting: do you mean {' or '.join(near)}?")
        elif spelt.startswith(PREFIX):
            unknown.append(shown)
    return Spelling(tuple(misspelt), tuple(unknown))


def _nearest(name: str, known: Iterable[str]) -> list[str]:
    """Returns those known names that are nearest, in order; none that is too far away."""
    near: dict[str, int] = {}
    for one in known:
        if abs(len(one) - len(name)) <= _NEAR and (letters := distance(name, one)) <= _NEAR:
            near[one] = letters
    return sorted(one for one, letters in near.items() if letters == min(near.values()))


def distance(first: str, second: str) -> int:
    """Returns in how many letters two words differ, by Damerau and Levenshtein.

    A letter that is missing, added or replaced counts one, and so do two neighbours that are
    swapped (each letter in one swap at most).
    """
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, letter in enumerate(first, start=1):
        before, last, row = row, before, [i]
        for j, other in enumerate(second, start=1):
            steps = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            is_swap = i > 1 and j > 1 and (letter, first[i - 2]) == (second[j - 2], other)
            row.append(min(steps, last[j - 2] + 1) if is_swap else steps)
    return row[-1]


def variable(name: str) -> str:
    """Returns the environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def flag(name: str) -> str:
    """Returns the command line flag of a setting."""
    return "--" + name.replace("_", "-")


def describe(error: Mapping[str, Any], secrets: Container[str]) -> str:
    """Returns an error of pydantic about a setting as a sentence; secret values are masked."""
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return message
    name = str(error["loc"][0])
    value = _MASK if name in secrets else repr(str(error["input"])[:100])
    message = message.replace("Input should be", "expected", 1)
    if is_service_link(variable(name), str(error["input"])):
        message += f". {LINK_HINT}"
    return f"{variable(name)} is {value}: {message}"
