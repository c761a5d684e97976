"""The command ``evaluate``."""

from __future__ import annotations

from typing import Annotated, Any, Final

from cyclopts import Parameter

from training.cli.app import JsonTo, Overwrite, cli
from training.cli.configuration.filling import Config
from training.cli.configuration.sections import EVALUATION, OUTPUT
from training.cli.console import Output
from training.cli.options import (
    AtLeastOne,
    DataOptions,
    PlanOptions,
    RecipeOptions,
)
from training.cli.reading import Data, read_data
from training.cli.tables import convergence_table, discovery_table, figures_table
from training.measuring.experiment import Measured, measure
from training.study import DiscoveryPoint, measure_discovery

_MEASURED: Final = Parameter(group=EVALUATION)


@cli.command
def evaluate(
    *,
    data: DataOptions | None = None,
    options: RecipeOptions | None = None,
    plan: PlanOptions | None = None,
    repeats: Annotated[int, AtLeastOne, _MEASURED] = 1,
    convergence: Annotated[bool, _MEASURED] = False,
    discovery_curve: Annotated[bool, _MEASURED] = False,
    overwrite: Annotated[Overwrite, Parameter(group=OUTPUT)] = False,
    json_to: Annotated[JsonTo, Parameter(group=OUTPUT)] = None,
    config: Config = None,
) -> None:
    """Measures ALS and what it is compared with on held-out artists; publishes nothing.

    Args:
        data: The data, and how they are split.
        options: The recipe.
        plan: How to measure.
        repeats: Number of times that the split is made, each with the next seed.
        convergence: Measure NDCG on a validation part after each iteration.
        discovery_curve: Measure the lists at several settings of the discovery dial.
        overwrite: Replace a file that is there.
        json_to: Print JSON instead of tables and sentences, or write it to FILE.
        config: File of options.
    """
    output = Output(json_to, overwrite)
    what = read_data(output, options or RecipeOptions(), data or DataOptions(), plan=plan)
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
    output.result(measured_to_json(what, measured, points), "the figures are")
    output.warn(what.warning)


def measured_to_json(
    data: Data, measured: Measured, points: list[DiscoveryPoint]
) -> dict[str, Any]:
    """Returns the measured values for the JSON of `evaluate`, `report` and `tune`."""
    entry = {
        "dataset": data.name,
        **measured.to_json(),
        "parameters": measured.first.parameters.to_manifest(),
    }
    if points:
        entry["discovery"] = [point.to_json() for point in points]
    return entry
