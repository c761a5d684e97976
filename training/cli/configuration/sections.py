"""The groups of options in the help; those of them that are sections of a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from cyclopts import Group
from cyclopts.argument import Argument

DATA: Final = Group.create_ordered("Data")
RECIPE: Final = Group.create_ordered("Recipe")
EVALUATION: Final = Group.create_ordered("Evaluation")
ENGINE: Final = Group.create_ordered("Engine")
SEARCH: Final = Group.create_ordered("Search")
PUBLISHING: Final = Group.create_ordered("Publishing")
OUTPUT: Final = Group.create_ordered("Output")
FILE: Final = Group.create_ordered("File of options")

# The table of sections. An option is in the file if its group is here.
SECTIONS: Final[Mapping[str, Group]] = MappingProxyType(
    {
        "data": DATA,
        "recipe": RECIPE,
        "evaluation": EVALUATION,
        "engine": ENGINE,
        "publish": PUBLISHING,
    }
)


def key_of(argument: Argument) -> str:
    """Returns the key of an option: its name with underscores."""
    return argument.name.lstrip("-").replace("-", "_")


def section_of(argument: Argument) -> str | None:
    """Returns the section that an option stands in, None for none."""
    for name, group in SECTIONS.items():
        if group in _groups(argument):
            return name
    return None


def _groups(argument: Argument) -> tuple[Group | str, ...]:
    groups = argument.parameter.group
    return (groups,) if isinstance(groups, Group) else tuple(groups or ())


def in_sections(arguments: Iterable[Argument]) -> dict[str, dict[str, Argument]]:
    """Returns the options of a command by section and key, in the order of their declaration."""
    found: dict[str, dict[str, Argument]] = {name: {} for name in SECTIONS}
    for argument in arguments:
        section = section_of(argument)
        if section is not None and not argument.children:  # a class of options is no option
            found[section][key_of(argument)] = argument
    return found
