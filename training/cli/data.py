"""The commands about data: ``datasets`` and ``generate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from training.cli.app import AsJson, cli
from training.cli.console import Output
from training.cli.options import AtLeastOne, NotNegative
from training.cli.tables import datasets_list
from training.datasets import DATASETS
from training.datasets import synthetic as synthetic_dataset


@cli.command
def datasets(*, as_json: AsJson = False) -> None:
    """Lists what is known, where it comes from and its licence.

    Args:
        as_json: Print JSON instead of a table.
    """
    output = Output(quiet=as_json)
    output.show(datasets_list())
    if as_json:
        output.json(
            [
                {
                    "name": dataset.name,
                    "description": dataset.description,
                    "files": list(dataset.files),
                    "source": dataset.source,
                    "licence": dataset.licence,
                }
                for dataset in DATASETS.values()
            ]
        )


@cli.command
def generate(
    *,
    out: Path,
    users: Annotated[int, AtLeastOne] = 2000,
    artists: Annotated[int, AtLeastOne] = 3000,
    mean_artists_per_user: float = 48.9,
    seed: Annotated[int, NotNegative] = 0,
    overwrite: bool = False,
    as_json: AsJson = False,
) -> None:
    """Writes a made-up sample in the Last.fm 360K format.

    Args:
        out: Folder to write to.
        users: How many users.
        artists: How many artists.
        mean_artists_per_user: Mean length of a history.
        seed: The same seed and sizes give the same files.
        overwrite: Replace an earlier sample.
        as_json: Print JSON instead of a sentence.
    """
    output = Output(quiet=as_json)
    with output.bars() as bars:
        sample = synthetic_dataset.generate(
            out,
            users=users,
            artists=artists,
            mean_artists_per_user=mean_artists_per_user,
            seed=seed,
            overwrite=overwrite,
            progress=bars.step("users", users),
        )
    counts = {"rows": sample.rows, "users": sample.users, "artists": sample.artists}
    output.show(
        f"{sample.rows:,} rows of {sample.users:,} made-up users and {sample.artists:,} made-up "
        f"artists are in {out}"
    )
    if as_json:
        output.json(counts)
