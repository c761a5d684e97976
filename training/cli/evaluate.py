"""The command ``evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from training.cli.app import cli
from training.cli.console import Output
from training.cli.options import AtLeastOne, DataOptions, PlanOptions, RecipeOptions
from training.cli.reading import Data, read_data
from training.cli.tables import convergence_table, discovery_table, figures_table
from training.files import check_place, write_json
from training.measuring.experiment import Measured, measure
from training.study import DiscoveryPoint, measure_discovery

JsonOut = Annotated[Path | None, Parameter(name="--json", allow_leading_hyphen=True)]
Config = Annotated[Path | None, Parameter(name="--config")]
STDOUT: Final = Path("-")


@cli.command
def evaluate(
    *,
    data: DataOptions | None = None,
    plan: PlanOptions | None = None,
    options: RecipeOptions | None = None,
    config: Config = None,
    repeats: Annotated[int, AtLeastOne] = 1,
    convergence: bool = False,
    discovery_curve: bool = False,
    json_out: JsonOut = None,
) -> None:
    """Measures popularity, item-kNN and ALS on held-out artists; publishes nothing.

    Args:
        data: Which data, and how they are split.
        plan: How to measure.
        options: The recipe.
        config: TOML file with options of the recipe, as `tune` writes it.
        repeats: How many times the split is made, each with the next seed.
        convergence: Measure NDCG on a validation part after each iteration.
        discovery_curve: Measure what the discovery dial does to the lists.
        json_out: Write the figures to this file, `-` for stdout instead of tables.
    """
    output = Output(quiet=json_out == STDOUT)
    if json_out is not None:
        check_place(json_out)
    what = read_data(output, (options or RecipeOptions()).over(config), data or DataOptions())
    how = (plan or PlanOptions()).plan(repeats=repeats, convergence=convergence)
    with output.bars() as bars:
        measured = measure(what.interactions, what.recipe, how, progress=bars)
        points: list[DiscoveryPoint] = []
        if discovery_curve:
            seed = what.recipe.parameters.seed
            points = measure_discovery(measured.first, k=how.k, seed=seed, progress=bars)
    output.show(figures_table(measured.figures))
    if measured.first.convergence is not None:
        output.show(convergence_table(measured.first.convergence))
    if points:
        output.show(discovery_table(points))
    if json_out is not None:
        write_measured(output, json_out, measured_to_json(what, measured, points))
    output.warn(what.warning)


def measured_to_json(
    data: Data, measured: Measured, points: list[DiscoveryPoint]
) -> dict[str, Any]:
    """Returns what was measured, as `evaluate` and `tune` write it."""
    entry = {
        "dataset": data.name,
        **measured.to_json(),
        "parameters": measured.first.parameters.to_manifest(),
    }
    if points:
        entry["discovery"] = [point.to_json() for point in points]
    return entry


def write_measured(output: Output, path: Path, value: dict[str, Any]) -> None:
    """Writes JSON to a file, or to stdout for ``-``."""
    if path == STDOUT:
        output.json(value)
        return
    write_json(path, value)
    output.show(f"the figures are in {path}")
