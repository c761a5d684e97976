"""Reading of a file of options: it fills in what the command line leaves open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

from cyclopts import App, Parameter, Token
from cyclopts.argument import Argument, ArgumentCollection

from training.cli.configuration.sections import FILE, SECTIONS, in_sections, section_of
from training.cli.configuration.values import refusal, shown, to_toml, tokens_of
from training.configuration import read_toml
from training.datasets import DatasetOptions
from training.errors import TrainingError

COMMAND_LINE: Final = "cli"
_OPTION: Final = "--config"
_SPLIT: Final = ("test_fraction", "folds", "at")
_FILTERS: Final = ("min_user_records", "min_item_records", "top_users")
# Given on the command line, the first leaves out the others of the file.
_INSTEAD: Final[Mapping[str, tuple[str, ...]]] = {
    "regularization": ("relative_regularization",),
    "relative_regularization": ("regularization",),
    "at": ("test_fraction",),
    "test_fraction": ("at",),
    "dataset": ("train", "test"),
    "data": ("train", "test"),
    "train": ("dataset", "data", "split", *_SPLIT, *_FILTERS),
    "test": ("dataset", "data", "split", *_SPLIT, *_FILTERS),
}
# The same, where the values differ.
_IF_OTHER: Final[Mapping[str, tuple[str, ...]]] = {
    "split": _SPLIT,
    "dataset": ("data", *(option.name for option in fields(DatasetOptions))),
}
# The same, where the command line switches the first off.
_IF_OFF: Final[Mapping[str, tuple[str, ...]]] = {
    "events": ("data_until",),
    "report": ("search",),
    "evaluation": ("search",),
}


class Configuration:
    """The options of a command, as they came.

    Attributes:
        path: the file of ``--config``, None without one.
        arguments: the options; each knows its value and where that came from.
    """

    def __init__(self, path: Path | None, arguments: ArgumentCollection) -> None:
        self.path, self.arguments = path, arguments


# The value is made by ``Filling``, so that a command knows where its options came from.
Config = Annotated[
    Configuration | None,
    Parameter(
        name=_OPTION,
        metavar="FILE",
        accepts_keys=False,
        n_tokens=1,
        group=FILE,
        help="TOML file of options, with the sections [data], [recipe], [evaluation] and "
        "[publish]; options given here win. `tune` writes its winner in the same form.",
    ),
]


class Filling:
    """Gives options of a file to those that are not on the command line.

    A file wins over an environment variable, which is a default.

    Args:
        root: the app; a file may have options of all its commands that take ``--config``.
    """

    def __init__(self, root: App) -> None:
        self._root = root

    def __call__(
        self, _app: App, _commands: tuple[str, ...], arguments: ArgumentCollection
    ) -> None:
        """Fills in the options of the command that is run.

        Args:
            arguments: its options.

        Raises:
            TrainingError: the file cannot be read, or has an unknown section or key, or a wrong
                value.
        """
        option = next((one for one in arguments if one.name == _OPTION), None)
        if option is None:
            return
        path = Path(option.tokens[0].value) if option.tokens else None
        option.tokens = [Token(source=COMMAND_LINE, implicit_value=Configuration(path, arguments))]
        if path is None:
            return
        own = {key: one for part in in_sections(arguments).values() for key, one in part.items()}
        given = _read(path, self._known)
        for key in _left_out(own, {key: value for key, (value, _) in given.items()}):
            given.pop(key, None)
        for key, (_, tokens) in given.items():
            if key in own and not on_command_line(own[key]):
                own[key].tokens = tokens

    @cached_property
    def _known(self) -> dict[str, dict[str, Argument]]:
        """All options that a file may have, by section and key, without values."""
        known: dict[str, dict[str, Argument]] = {name: {} for name in SECTIONS}
        for name in self._root:
            command = self._root[name]
            if name.startswith("-") or command.default_command is None:  # --help, or a family
                continue
            # The options of a command take a while to assemble.
            if "config" in signature(command.default_command).parameters:
                arguments = command.assemble_argument_collection()
                for section, options in in_sections(arguments).items():
                    known[section] |= options
        return known


def on_command_line(argument: Argument) -> bool:
    """Whether an option was given on the command line."""
    return any(token.source == COMMAND_LINE for token in argument.tokens)


def _read(
    path: Path, known: Mapping[str, Mapping[str, Argument]]
) -> dict[str, tuple[Any, list[Token]]]:
    """Returns the values of a file, and what options get of them, by key."""
    found: dict[str, tuple[Any, list[Token]]] = {}
    for section, values in _sections(path, known).items():
        for key, value in values.items():
            if key not in known[section]:
                _refuse_key(path, section, key, known)
            argument = known[section][key]
            try:
                tokens = tokens_of(argument, value, path.absolute().parent, source=str(path))
            except ValueError as error:
                raise refusal(path, section, key, value, str(error)) from error
            found[key] = (value, tokens)
    return found


def _sections(path: Path, known: Mapping[str, Mapping[str, Argument]]) -> dict[str, dict[str, Any]]:
    """Returns a file by section; options of the recipe may stand in none, as `tune` wrote them."""
    sections: dict[str, dict[str, Any]] = {}
    bare: dict[str, Any] = {}
    for name, value in read_toml(path).items():
        if name in known:
            if not isinstance(value, dict):
                raise TrainingError(
                    f"{path}: {name} is {shown(value)}; expected a section, [{name}] and below it "
                    "its keys"
                )
            sections[name] = value
        elif isinstance(value, dict):
            raise TrainingError(
                f"{path}: there is no section [{name}]; {_nearest(name, known, brackets=True)}"
            )
        else:
            bare[name] = value
    for key in bare:
        if key not in known["recipe"]:
            _refuse_key(path, None, key, known)
        if key in sections.get("recipe", {}):
            raise TrainingError(f"{path}: {key} stands above the sections and in [recipe]")
    if bare:
        sections["recipe"] = bare | sections.get("recipe", {})
    return sections


def _refuse_key(
    path: Path, section: str | None, key: str, known: Mapping[str, Mapping[str, Argument]]
) -> NoReturn:
    where = "" if section is None else f"[{section}] "
    place = next((name for name, options in known.items() if key in options), None)
    if place is not None:
        remedy = f"it belongs in [{place}]"
    else:
        remedy = _nearest(key, known["recipe" if section is None else section])
    what = f"has no key '{key}'" if where else f"there is no option '{key}'"
    raise TrainingError(f"{path}: {where}{what}; {remedy}")


def _nearest(name: str, known: Iterable[str], *, brackets: bool = False) -> str:
    """Returns the nearest known name, or all, as the end of a sentence."""
    form = "[{}]".format if brackets else "{}".format
    if nearest := get_close_matches(name, list(known), n=1):
        return f"did you mean {form(nearest[0]) if brackets else repr(nearest[0])}?"
    return f"known are {', '.join(form(one) for one in known)}"


def _left_out(own: Mapping[str, Argument], given: Mapping[str, Any]) -> set[str]:
    """Returns the keys of a file that an option on the command line makes meaningless."""
    left: set[str] = set()
    for key, argument in own.items():
        if not on_command_line(argument):
            continue
        value = argument.convert_and_validate()
        left.update(_INSTEAD.get(key, ()))
        if key in given and to_toml(value) != given[key]:
            left.update(_IF_OTHER.get(key, ()))
        if value is False or value is None:
            left.update(_IF_OFF.get(key, ()))
            if key == "evaluation":
                left.update(name for name, one in own.items() if section_of(one) == "evaluation")
    return left
