"""The command line of the offline side."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter, validators
from rich.text import Text

from app import __version__
from app.artifact import open_model, read_manifest, total_bytes, verify_checksums
from app.errors import EncoreError, InvalidArtifact, ModelNotFound
from app.versions import current_version, list_versions
from training.console import (
    Output,
    datasets_list,
    figures_table,
    records_table,
    versions_table,
)
from training.datasets import DATASETS, LoadOptions, ensure_dataset, load_dataset
from training.datasets import synthetic as synthetic_dataset
from training.errors import DatasetError, NothingToMeasure, TrainingError, WriteError
from training.export import export as export_lists
from training.options import (
    AtLeastOne,
    ColumnOptions,
    NotNegative,
    RecipeOptions,
    SourceOptions,
)
from training.pipeline import (
    Prepared,
    ReadyMade,
    join_split,
    measure,
    measure_ready_made,
    prepare,
)
from training.pipeline import train as train_and_publish
from training.presets import Preset

cli = App(
    name="python -m training",
    help="Encore's offline side: from listening records to a published model.",
    version=__version__,
)
models_cli = App(name="models", help="Lists and verifies published models.")
cli.command(models_cli)

Models = Annotated[Path, Parameter(env_var="ENCORE_MODELS")]
AsJson = Annotated[bool, Parameter(name="--json", negative=())]
ListLength = Annotated[int, Parameter(validator=validators.Number(gte=0, lte=500))]
Cutoff = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=500))]


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


@cli.command
def train(
    *,
    source: SourceOptions | None = None,
    columns: ColumnOptions | None = None,
    options: RecipeOptions | None = None,
    models: Models = Path("models"),
    k: Cutoff = 10,
    evaluation: bool = True,
    top_lists: ListLength = 100,
    as_json: AsJson = False,
) -> None:
    """Measures on a split, trains on everything and publishes the model.

    Args:
        source: Which data.
        columns: Columns of a table.
        options: The recipe.
        models: The models folder.
        k: Cut-off of the measures.
        evaluation: Measure on a split first.
        top_lists: Length of everyone's precomputed list, 0 for none.
        as_json: Print JSON instead of tables.
    """
    output = Output(quiet=as_json)
    _check_writable(models)
    recipe = (options or RecipeOptions()).recipe()
    prepared = _prepare(output, source or SourceOptions(), columns or ColumnOptions(), recipe)
    figures = None
    with output.bars() as bars:
        if evaluation:
            try:
                figures = measure(prepared.interactions, recipe, k=k, progress=bars)
            except NothingToMeasure as error:
                output.note(f"nothing is measured: {error}")
        version = train_and_publish(
            prepared, recipe, models, figures=figures, list_length=top_lists, progress=bars
        )
    if figures is not None:
        output.show(figures_table(figures))
    output.show(f"published {version} in {models}; it is the current model now")
    if as_json:
        output.json(
            {
                "version": version,
                "path": str(models / version),
                "dataset": prepared.to_manifest(),
                "parameters": recipe.parameters.to_manifest(),
                "metrics": None if figures is None else figures.to_json(),
            }
        )


@cli.command
def evaluate(
    *,
    source: SourceOptions | None = None,
    train_file: Annotated[Path | None, Parameter(name="--train")] = None,
    test_file: Annotated[Path | None, Parameter(name="--test")] = None,
    columns: ColumnOptions | None = None,
    options: RecipeOptions | None = None,
    k: Cutoff = 10,
    repeats: Annotated[int, AtLeastOne] = 1,
    json_out: Annotated[Path | None, Parameter(name="--json", allow_leading_hyphen=True)] = None,
) -> None:
    """Measures popularity and ALS on held-out artists; publishes nothing.

    Args:
        source: Which data.
        train_file: Training part of a ready-made split, a table.
        test_file: Test part of a ready-made split, a table.
        columns: Columns of a table.
        options: The recipe.
        k: Cut-off of the measures.
        repeats: How many splits, each with the next seed; the figures are means over them.
        json_out: Write the figures to this file, `-` for stdout instead of tables.
    """
    output = Output(quiet=json_out == Path("-"))
    options = options or RecipeOptions()
    recipe = options.recipe()
    source, columns = source or SourceOptions(), columns or ColumnOptions()
    if json_out is not None and not json_out.parent.is_dir():
        raise TrainingError(f"{json_out.parent}: there is no such folder; make it first")
    if (train_file is None) != (test_file is None):
        raise TrainingError("a ready-made split wants both --train FILE and --test FILE")
    if train_file is None or test_file is None:
        prepared = _prepare(output, source, columns, recipe)
        name = prepared.records.dataset
        with output.bars() as bars:
            figures = measure(prepared.interactions, recipe, k=k, repeats=repeats, progress=bars)
    elif source.dataset or source.data:
        raise TrainingError("give either --dataset and --data, or --train and --test")
    elif given := options.filters_given():
        raise TrainingError(f"a ready-made split is taken as it is; leave {given[0]} out")
    elif repeats != 1:
        raise TrainingError("a ready-made split is measured once; leave --repeats out")
    else:
        name = "table"
        parts = _load_parts(output, train_file, test_file, columns)
        with output.bars() as bars:
            figures = measure_ready_made(parts, recipe, k=k, progress=bars)
    output.show(figures_table(figures))
    if json_out is not None:
        parameters = recipe.parameters.to_manifest()
        _write_json(
            output, json_out, {"dataset": name, **figures.to_json(), "parameters": parameters}
        )


@cli.command
def export(
    *,
    out: Path,
    models: Models = Path("models"),
    version: str | None = None,
    n: Cutoff = 10,
    as_json: AsJson = False,
) -> None:
    """Writes everyone's list, equal to the live answers.

    Args:
        out: File ending in .parquet, .csv or .tsv.
        models: The models folder.
        version: Which model. Default: the current one.
        n: Longest list.
        as_json: Print JSON instead of a sentence.
    """
    output = Output(quiet=as_json)
    folder = models / _version(models, version)
    model = open_model(folder)
    with output.err.status("verifying the model"):
        verify_checksums(folder)
    with output.bars() as bars:
        users = export_lists(model, out, n=n, progress=bars)
    output.show(f"the lists of {users:,} users by model {model.version} are in {out}")
    if as_json:
        output.json({"version": model.version, "users": users, "n": n, "path": str(out)})


@models_cli.command(name="list")
def list_models(*, models: Models = Path("models"), as_json: AsJson = False) -> None:
    """Lists published models, oldest first.

    Args:
        models: The models folder.
        as_json: Print JSON instead of a table.
    """
    output = Output(quiet=as_json)
    current = current_version(models)
    rows = [_describe(models, version, current) for version in list_versions(models)]
    if not rows:
        output.show(f"there is no model in {models} yet; `python -m training train` makes one")
    else:
        output.show(versions_table(rows))
    if as_json:
        output.json(rows)


@models_cli.command
def verify(
    version: str | None = None, *, models: Models = Path("models"), as_json: AsJson = False
) -> int:
    """Checks sizes, shapes, dtypes and checksums of one model, or of all.

    Args:
        version: Which model. Default: all.
        models: The models folder.
        as_json: Print JSON instead of sentences.
    """
    output = Output(quiet=as_json)
    versions = [version] if version else list_versions(models)
    if not versions:
        raise ModelNotFound(f"there is no model in {models} yet; `train` makes one")
    results: list[dict[str, Any]] = []
    for name in versions:
        folder = models / _version(models, name)
        try:
            open_model(folder)
            verify_checksums(folder)
        except InvalidArtifact as error:
            output.error(str(error))
            results.append({"version": name, "ok": False, "error": str(error)})
        else:
            size = total_bytes(read_manifest(folder))
            output.show(f"{name}: {size / 2**20:,.1f} MiB, as published")
            results.append({"version": name, "ok": True, "bytes": size})
    if as_json:
        output.json(results)
    return 0 if all(result["ok"] for result in results) else 1


def main(tokens: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        tokens: the arguments; default those of the process.

    Returns:
        The exit code. Errors that Encore raises on purpose are one paragraph and code 1; wrong
        options exit with 2 by themselves.
    """
    if not os.environ.get("ENCORE_MODELS"):  # empty counts as unset, as in the service
        os.environ.pop("ENCORE_MODELS", None)
    try:
        code = cli(tokens, result_action="return_value")
    except EncoreError as error:
        Output().error(str(error))
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        Output().error(f"{where}{error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        Output().error("interrupted")
        return 128 + signal.SIGINT
    return code if isinstance(code, int) else 0


def _check_writable(folder: Path) -> None:
    """Refuses a folder that could not be written to, before work of hours is done for it."""
    place = folder.absolute()
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        raise WriteError(folder, NotADirectoryError(f"{place} is no folder"))
    if not os.access(place, os.W_OK | os.X_OK):
        raise WriteError(folder, PermissionError(f"no permission to write in {place}"))


def _prepare(
    output: Output, source: SourceOptions, columns: ColumnOptions, recipe: Preset
) -> Prepared:
    if source.dataset is None:
        raise DatasetError(f"which dataset? Give --dataset, one of {', '.join(DATASETS)}")
    path = ensure_dataset(source.dataset, source.data)
    load_options = LoadOptions(drop_items_without_id=recipe.drop_items_without_id, **vars(columns))
    with output.err.status(Text(f"reading {path}")):
        records = load_dataset(source.dataset, path, load_options)
        prepared = prepare(records, recipe)
    output.show(records_table(prepared))
    return prepared


def _load_parts(
    output: Output, train_file: Path, test_file: Path, columns: ColumnOptions
) -> ReadyMade:
    load_options = LoadOptions(**vars(columns))
    parts = join_split(
        load_dataset("table", train_file, load_options),
        load_dataset("table", test_file, load_options),
    )
    output.show(
        f"{parts.train.user_items.nnz:,} training and {parts.test.user_items.nnz:,} test pairs; "
        f"{parts.users_without_training:,} test users and {parts.items_without_training:,} test "
        "artists are not in training"
    )
    return parts


def _version(models: Path, wanted: str | None) -> str:
    version = wanted or current_version(models)
    if version is None:
        raise ModelNotFound(f"there is no model in {models} yet; `train` makes one")
    if version not in list_versions(models):
        raise ModelNotFound(f"there is no version {version!r} in {models}; see `models list`")
    return version


def _describe(models: Path, version: str, current: str | None) -> dict[str, str]:
    row = {"version": version, "state": "current" if version == current else ""}
    try:
        card = read_manifest(models / version)
        ndcg = ((card["metrics"] or {}).get("models") or {}).get("als", {}).get("ndcg")
        return row | {
            "dataset": str(card["dataset"]["name"]),
            "users": f"{card['dataset']['users']:,}",
            "artists": f"{card['dataset']['artists']:,}",
            "NDCG": "" if ndcg is None else f"{ndcg:.4f}",
        }
    except InvalidArtifact as error:
        return row | {"state": f"broken: {error}"}


def _write_json(output: Output, path: Path, value: dict[str, Any]) -> None:
    if path == Path("-"):
        output.json(value)
        return
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
        partial.replace(path)
    except OSError as error:
        raise WriteError(path, error) from error
    finally:
        partial.unlink(missing_ok=True)
    output.show(f"the figures are in {path}")
