"""The command line as a whole: its app, and what its commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, validators

from app import __version__
from app.errors import ModelNotFound
from app.versions import current_version, list_versions

cli = App(
    name="python -m training",
    help="Encore's offline side: from listening records to a published model.",
    version=__version__,
    suppress_keyboard_interrupt=False,  # main says so
)
models_cli = App(name="models", help="Lists, verifies and prunes published models.")
cli.command(models_cli)

Models = Annotated[Path, Parameter(env_var="ENCORE_MODELS")]
AsJson = Annotated[bool, Parameter(name="--json", negative=())]
ListLength = Annotated[int, Parameter(validator=validators.Number(gte=0, lte=500))]


def find_version(models: Path, wanted: str | None) -> str:
    """Returns a version that is there: the wanted one, or the current one.

    Raises:
        ModelNotFound: it is not.
    """
    version = wanted or current_version(models)
    if version is None:
        raise ModelNotFound(f"there is no model in {models} yet; `train` makes one")
    if version not in list_versions(models):
        raise ModelNotFound(f"there is no version {version!r} in {models}; see `models list`")
    return version
