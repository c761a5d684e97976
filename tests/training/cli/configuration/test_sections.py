"""Which options stand in a file, and in which section."""

from __future__ import annotations

from dataclasses import fields

from training.cli import cli
from training.cli.configuration.sections import SECTIONS, in_sections, key_of, section_of
from training.datasets import DatasetOptions

COMMANDS = ("train", "evaluate", "tune", "report")
# These name the file, or print it.
NOT_IN_THE_FILE = {"config", "print"}


def test_each_option_of_train_is_in_exactly_one_section() -> None:
    arguments = cli["train"].assemble_argument_collection()
    keys = {key_of(one) for one in arguments if not one.children}
    sections = in_sections(arguments)
    placed = [key for options in sections.values() for key in options]
    assert set(placed) == keys - NOT_IN_THE_FILE
    assert len(placed) == len(set(placed))
    assert all(sections.values())
    assert {option.name for option in fields(DatasetOptions)} <= sections["data"].keys()


def test_an_option_has_the_same_section_in_each_command() -> None:
    places: dict[str, set[str]] = {}
    for command in COMMANDS:
        for argument in cli[command].assemble_argument_collection():
            section = section_of(argument)
            if not argument.children and section is not None:
                places.setdefault(key_of(argument), set()).add(section)
    assert {key: found for key, found in places.items() if len(found) > 1} == {}


def test_the_help_shows_the_groups_in_the_order_of_use() -> None:
    for command in COMMANDS:
        arguments = cli[command].assemble_argument_collection()
        assert all(one.parameter.group for one in arguments)
        groups = [group.name for group in arguments.groups]
        order = ["Data", "Recipe", "Evaluation", "Engine", "Search", "Publishing", "Output"]
        assert set(groups) <= {*order, "File of options", "Parameters"}
        leaves = [one for one in arguments if not one.children]
        assert not [one.name for one in leaves if "Parameters" in str(one.parameter.group)]
    names = [group.name for group in SECTIONS.values()]
    assert names == ["Data", "Recipe", "Evaluation", "Engine", "Publishing"]
