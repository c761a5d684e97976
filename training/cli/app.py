"""The app of the command line, and the options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, validators

from app import __version__
from training.cli.configuration.filling import Filling
from training.cli.wrong_options import panel_of

cli = App(
    name="python -m training",
    help="Encore's offline side: from listening records to a published model.",
    version=__version__,
    suppress_keyboard_interrupt=False,  # main handles it
)
models_cli = App(name="models", help="Lists, verifies and prunes published models.")
cli.command(models_cli)
cli.error_formatter = panel_of
cli.config = (Filling(cli),)

Models = Annotated[Path, Parameter(env_var="ENCORE_MODELS")]
# Options in cyclopts need a value; main adds `-` where this one has none.
JsonTo = Annotated[
    Path | None,
    Parameter(name="--json", metavar="[FILE|-]", negative=(), allow_leading_hyphen=True),
]
# Whether a command replaces the file that it is to write; ``check_new`` decides.
Overwrite = Annotated[bool, Parameter(negative=())]
ListLength = Annotated[int, Parameter(validator=validators.Number(gte=0, lte=500))]
