"""The options that hold, as a file that reads back to the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from textwrap import wrap
from typing import Any, Final

import tomlkit
from cyclopts import UNSET
from cyclopts.argument import Argument

from training.cli.configuration.filling import COMMAND_LINE, Configuration
from training.cli.configuration.sections import in_sections
from training.cli.configuration.values import masked, to_toml
from training.datasets import DATASETS, DatasetOptions, option_names
from training.fitting.hyperparameters import LINEAR, Parameters
from training.measuring.experiment import Plan
from training.presets import Preset
from training.splitting.splits import MadeHere

# In place of a value that the preset takes by the data.
BY_DATA: Final = object()
_WIDTH: Final = 98
_ENVIRONMENT: Final = "env"


def effective(preset: Preset, plan: Plan | None) -> dict[str, Any]:
    """Returns what holds for options of recipe and evaluation that were not given, by key.

    Args:
        preset: the recipe with the given options.
        plan: how it is measured; None to measure nothing.

    Returns:
        Values by key; ``BY_DATA`` for those that depend on the data.
    """
    holds = {"preset": preset.name, **asdict(preset.filters)}
    first, *others = map(_by_key, preset.possible())
    for name, value in first.items():
        is_same = all(value == other.get(name) for other in others)
        holds[name] = value if is_same else BY_DATA
    if plan is not None:
        split = preset.split
        holds |= {"k": plan.k, "sample_users": plan.sample, "patience": plan.patience}
        if isinstance(split, MadeHere):
            holds["split"] = split.option
            holds |= {
                option.lstrip("-").replace("-", "_"): getattr(split, field)
                for option, field in split.options.items()
            }
        if holds.pop("at", None) is not None:  # a given time, which leaves no share
            holds.pop("test_fraction", None)
    return holds


def _by_key(parameters: Parameters) -> dict[str, Any]:
    holds = asdict(parameters)
    if holds.pop("regularization_is_relative"):
        holds["relative_regularization"] = holds.pop("regularization")
    linear = holds.pop("linear") or {}
    return holds | {f"{LINEAR}{name}": value for name, value in linear.items()}


def to_text(configuration: Configuration, holds: Mapping[str, Any]) -> str:
    """Returns the options of a command as TOML, each with its origin.

    Options without a value share a comment, as do those that the data decide. Those of other
    datasets are left out.

    Args:
        configuration: the options as they came.
        holds: what holds for options that were not given, by key.
    """
    sections = in_sections(configuration.arguments)
    dataset = DATASETS.get(str(sections["data"]["dataset"].value))
    taken = frozenset() if dataset is None else option_names(dataset)
    foreign = {option.name for option in fields(DatasetOptions)} - taken
    document = tomlkit.document()
    for section, options in sections.items():
        table = tomlkit.table()
        unset, by_data = [], []
        for key, argument in options.items():
            value, origin, source = argument.field_info.default, "default", ""
            if argument.value is not UNSET and argument.tokens:
                source = argument.tokens[0].source
                value, origin = argument.value, _origin(source, argument)
                # Without events although the variable names some.
                value = False if value is None and argument.negatives else value
            elif key in holds:
                value = holds[key]
            if key in foreign:
                continue  # an option of other datasets
            if value is BY_DATA:
                by_data.append(key)
            elif value is None:
                unset.append(key)
            elif source == _ENVIRONMENT and isinstance(value, str) and masked(value) != value:
                table.add(tomlkit.comment(f"{key}: {masked(value)}, from the environment"))
            else:
                item = tomlkit.item(to_toml(value))
                item.comment(origin)
                table.add(key, item)
        for what, keys in (("by the data", by_data), ("not set", unset)):
            for line in wrap(f"{what}: {', '.join(keys)}" if keys else "", _WIDTH):
                table.add(tomlkit.comment(line))
        document.add(section, table)
    return tomlkit.dumps(document)


def _origin(source: str, argument: Argument) -> str:
    if source == COMMAND_LINE:
        return "command line"
    if source == _ENVIRONMENT:
        return " ".join(argument.parameter.env_var or ())
    return "file"
