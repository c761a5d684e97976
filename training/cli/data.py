"""The commands about data: ``datasets`` and ``generate``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from training.cli.app import JsonTo, Overwrite, cli
from training.cli.console import Output
from training.cli.options import AtLeastOne, NotNegative
from training.cli.tables import datasets_list
from training.datasets import DATASETS
from training.datasets.synthetic import generator
from training.datasets.synthetic.sample_files import GeneratedSample
from training.datasets.synthetic.timed_generator import generate_timed
from training.errors import DatasetError
from training.numbers import plural


@cli.command
def datasets(*, overwrite: Overwrite = False, json_to: JsonTo = None) -> None:
    """Lists the known datasets with their origin and licence.

    Args:
        overwrite: Replace a file that is there.
        json_to: Print JSON instead of tables and sentences, or write it to FILE.
    """
    output = Output(json_to, overwrite)
    output.show(datasets_list())
    output.result(
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
    timed: Annotated[bool, Parameter(negative=())] = False,
    drift: Annotated[float | None, NotNegative] = None,
    seed: Annotated[int, NotNegative] = 0,
    overwrite: Overwrite = False,
    json_to: JsonTo = None,
) -> None:
    """Writes a made-up sample in the format of Last.fm 360K or, with times, of Last.fm 1K.

    Args:
        out: Folder to write to.
        users: Number of users.
        artists: Number of artists.
        mean_artists_per_user: Mean number of artists of a user.
        timed: Write single plays with their times, over four years.
        drift: Speed at which tastes change: 0 for none, 1 (the default) for half of a taste in \
two years, 2 for half of a taste in one year.
        seed: The same seed and sizes give the same files.
        overwrite: Replace an earlier sample, or a file that is there.
        json_to: Print JSON instead of tables and sentences, or write it to FILE.
    """
    output = Output(json_to, overwrite)
    if drift is not None and not timed:
        raise DatasetError("--drift does nothing without --timed; leave it out, or add --timed")
    with output.bars() as bars:
        write: Callable[..., GeneratedSample] = generator.generate
        if timed:
            write = partial(generate_timed, drift=1.0 if drift is None else drift)
        sample = write(
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
        f"{plural(sample.rows, 'row')} of {plural(sample.users, 'made-up user')} and "
        f"{plural(sample.artists, 'made-up artist')} written to {out}"
    )
    output.result(counts)
