"""Each option of ``train``: as printed, it reads back to the same."""

from __future__ import annotations

import tomllib
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import pytest
from cyclopts.argument import Argument
from cyclopts.validators import Number

from tests.training.cli.commands import error_of
from tests.training.cli.configuration.printed import config, holds, printed
from training.cli import cli, main
from training.cli.configuration.sections import in_sections
from training.datasets import DATASETS, option_names

SECTIONS: Final = in_sections(cli["train"].assemble_argument_collection())
OPTIONS: Final = {key: one for options in SECTIONS.values() for key, one in options.items()}
# Values of options that do not take any text.
_TEXTS: Final = {
    "dataset": ["table", "movielens"],
    "normalize_ids": ["nfc", "nfc,strip,float,null"],
    # Beside the second one stands --no-quoting.
    "separator": [";", "::", "tab", "|"],
    "columns": ["user_id,item_id,_,weight"],
    "encoding": ["cp1252", "utf-16"],
    "decimal": [",", "."],
    "thousands": [".", ","],
    "timestamp_format": ["%d/%m/%Y %H:%M", "%Y%m%d"],
    "events": ["sqlite:////e.db", "postgresql://u@h/db"],
    "contenders": ["ease", "item-knn,ease"],
    # With 0 the other options of the block would do nothing.
    "linear_rank": ["1", "7", "4096"],
}
# Options that are not given together with others, and what they do nothing without.
_ALONE: Final = {
    "data_until": ["--events", "sqlite:////e.db"],
    "events": [],
    "folds": ["--split", "k-fold"],
    "at": ["--split", "global-time"],
    "split": [],
    "relative_regularization": [],
    "evaluation": [],
    "dataset": [],
}


def texts_of(argument: Argument, key: str) -> list[str]:
    """Returns values of an option as they are given on the command line."""
    if key in _TEXTS:
        return _TEXTS[key]
    hint = argument.resolved_hint
    found: list[str] = []
    is_choice = get_origin(hint) is Literal
    for kind in (hint,) if is_choice else get_args(hint) or (hint,):
        found += _texts_of(argument, kind)
    return found


def _texts_of(argument: Argument, kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(one) for one in get_args(kind)]
    if issubclass(kind, Enum):
        return [str(one.value) for one in kind]
    if issubclass(kind, int | float):
        return [str(kind(one)) for one in numbers(argument, whole=issubclass(kind, int))]
    if issubclass(kind, datetime):
        return ["2009-01-01", "2009-01-02T03:04:05", "2009-01-01T00:00:00+02:00"]
    if issubclass(kind, Path):
        return ["/a b/ü'\"#\\.x", "-"] if argument.parameter.allow_leading_hyphen else ["/a b/ü"]
    if issubclass(kind, str):
        return ["a", "#\"'\\\n[b] = ü", "false", "007", "2009-01-01"]
    raise AssertionError(f"give values of {kind} here")


def numbers(argument: Argument, *, whole: bool) -> list[float]:
    """Returns the bounds of an option, and a number between."""
    given = argument.parameter.validator
    every = (given,) if callable(given) else tuple(given or ())
    bounds = [one for one in every if isinstance(one, Number)]
    low = max([one.gte for one in bounds if one.gte is not None], default=None)
    high = min([one.lte for one in bounds if one.lte is not None], default=None)
    inside = 7.0 if whole else 0.375
    return [float(one) for one in (low, inside, high) if one is not None]


def options_of(key: str, argument: Argument) -> list[list[str]]:
    """Returns the ways in which an option may be given."""
    flag = argument.name
    more = [[negative] for negative in argument.negatives]
    if argument.resolved_hint is bool:
        return [[flag], *more]
    return [[f"{flag}={text}"] for text in texts_of(argument, key)] + more


def group_of(key: str) -> tuple[str, list[str]]:
    """Returns the options that an option is given together with, by name, and what they need."""
    if key in _ALONE:
        return key, _ALONE[key]
    owners = [one.name for one in DATASETS.values() if key in option_names(one)]
    return (owners[-1], ["--dataset", owners[-1]]) if owners else ("common", [])


def cases() -> dict[str, list[tuple[list[str], set[str]]]]:
    """Returns options that are given together, in one way after another, by group."""
    groups: dict[str, list[str]] = {}
    for key in OPTIONS.keys() - {"search"}:
        groups.setdefault(group_of(key)[0], []).append(key)
    found: dict[str, list[tuple[list[str], set[str]]]] = {}
    for group, keys in groups.items():
        ways = {key: options_of(key, OPTIONS[key]) for key in sorted(keys)}
        for number in range(max(map(len, ways.values()))):
            # Those with fewer values have them again.
            tokens = [token for way in ways.values() for token in way[number % len(way)]]
            tokens += group_of(keys[0])[1]
            found.setdefault(group, []).append((tokens, set(keys)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("group", "ways"), sorted(cases().items()))
def test_it_survives(
    group: str,
    ways: list[tuple[list[str], set[str]]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del group
    for tokens, keys in ways:
        first = printed(capsys, *tokens)
        given = [one for one in first.splitlines() if one.endswith("# command line")]
        assert keys <= {one.partition(" = ")[0] for one in given}, tokens
        path = config(tmp_path, first)
        second = printed(capsys, "--config", str(path))
        assert tomllib.loads(second) == tomllib.loads(first), tokens


def test_a_word_in_the_place_of_a_time_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = '[data]\nevents = "sqlite:////e.db"\ndata_until = {}\n'
    for value, read in {'"never"': "never", "2009-01-01": datetime(2009, 1, 1)}.items():
        path = config(tmp_path, text.format(value))
        assert holds(capsys, "--config", str(path))["data_until"] == read
    path = config(tmp_path, text.format('"nevr"'))
    assert main(["train", "--config", str(path)]) == 1
    assert error_of(capsys).endswith(
        '[data] data_until is "nevr"; expected a time such as 2026-11-01T00:00:00, or never'
    )
