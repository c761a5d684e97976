"""What is said about a command line that cannot be understood."""

from __future__ import annotations

from difflib import get_close_matches

from cyclopts import CycloptsError, CycloptsPanel, UnknownCommandError
from cyclopts.exceptions import STYLE_OFFENDING_VALUE, STYLE_SUGGESTION, STYLE_VALID_CHOICE
from rich.panel import Panel
from rich.text import Text


def panel_of(error: CycloptsError) -> Panel:
    """Returns an error of the option parser as a panel; of commands it lists all, not the first."""
    if isinstance(error, UnknownCommandError) and error.app and error.unused_tokens:
        return CycloptsPanel(_unknown(error.unused_tokens[0], sorted(error.app)))
    return CycloptsPanel(error)


def _unknown(given: str, names: list[str]) -> Text:
    commands = [name for name in names if not name.startswith("-")]
    text = Text.assemble(('Unknown command "', ""), (given, STYLE_OFFENDING_VALUE), ('".', ""))
    text.style = "default"
    if nearest := get_close_matches(given, commands, n=1):
        text.append(' Did you mean "').append(nearest[0], STYLE_SUGGESTION).append('"?')
    text.append(" Commands: ")
    for number, name in enumerate(commands):
        text.append(", " if number else "").append(name, STYLE_VALID_CHOICE)
    return text.append(".")
