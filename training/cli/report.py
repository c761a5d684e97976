"""The command ``report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from training.cli.app import JsonTo, Overwrite, cli
from training.cli.configuration.filling import Config
from training.cli.configuration.sections import OUTPUT
from training.cli.console import Output
from training.cli.evaluate import measured_to_json
from training.cli.options import DataOptions, PlanOptions, RecipeOptions
from training.cli.reading import read_data
from training.cli.tables import figures_table
from training.engines.reading import read_found
from training.measuring.experiment import measure
from training.study import measure_discovery, study
from training.tuning.state import read_search

_OUTPUT: Final = Parameter(group=OUTPUT)


@cli.command
def report(
    *,
    out: Annotated[Path, _OUTPUT],
    data: DataOptions | None = None,
    options: RecipeOptions | None = None,
    plan: PlanOptions | None = None,
    search_file: Annotated[Path | None, _OUTPUT, Parameter(name="--search")] = None,
    overwrite: Annotated[Overwrite, _OUTPUT] = False,
    json_to: Annotated[JsonTo, _OUTPUT] = None,
    config: Config = None,
) -> None:
    """Measures as `evaluate` does and writes a report as one page of HTML.

    Args:
        out: HTML file to write; it is self-contained.
        data: The data, and how they are split.
        options: The recipe.
        plan: How to measure.
        search_file: File with the trials of `tune`, to show them in the report.
        overwrite: Replace a file that is there.
        json_to: Print JSON instead of tables and sentences, or write it to FILE; it is that of
            `evaluate`, with the path of the page.
        config: File of options.
    """
    from training.report import write  # noqa: PLC0415 - matplotlib takes a second to load

    output = Output(json_to, overwrite)
    output.check_out(out)
    if search_file is not None:
        read_search(search_file)  # a wrong file is refused before the data are read
    what = read_data(output, options or RecipeOptions(), data or DataOptions(), plan=plan)
    found = read_found(search_file, what.interactions, what.recipe)
    how = (plan or PlanOptions()).plan(convergence=True)
    seed = what.recipe.parameters.seed
    with output.bars() as bars:
        measured = measure(what.interactions, what.recipe, how, progress=bars)
        points = measure_discovery(measured.first, k=how.k, seed=seed, progress=bars)
    shown = study(
        what.interactions.user_items,
        what.manifest,
        what.recipe,
        measured,
        search=found,
        discovery=points,
    )
    write(shown, out)
    output.show(figures_table(measured.figures))
    output.show(f"the report is in {out}")
    output.result(
        measured_to_json(what, measured, points) | {"report": str(out)}, "the figures are"
    )
    output.warn(what.warning)
