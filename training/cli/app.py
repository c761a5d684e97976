"""The command line as a whole: its app, and what its commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, validators

from app import __version__

cli = App(
    name="python -m training",
    help="Encore's offline side: from listening records to a published model.",
    version=__version__,
    suppress_keyboard_interrupt=False,  # main says so
)
models_cli = App(name="models", help="Lists, verifies and prunes published models.")
cli.command(models_cli)

Models = Annotated[Path, Parameter(env_var="ENCORE_MODELS")]
# Options of cyclopts have a value; main gives this one `-` where it has none.
JsonTo = Annotated[
    Path | None,
    Parameter(name="--json", metavar="[FILE|-]", negative=(), allow_leading_hyphen=True),
]
ListLength = Annotated[int, Parameter(validator=validators.Number(gte=0, lte=500))]
