"""The command ``export``."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from app.artifacts.models_folder import ModelsFolder
from app.events.event_types import DEFAULT_RULES
from app.settings import load_event_rules
from training.cli.app import JsonTo, Models, Overwrite, cli
from training.cli.console import Output
from training.cli.options import Cutoff, EventsOrNone
from training.engines.reading import open_event_store
from training.numbers import plural
from training.publishing.export import export as export_lists


@cli.command
def export(
    *,
    out: Path,
    models: Models = Path("models"),
    version: str | None = None,
    n: Cutoff = 10,
    events: EventsOrNone = None,
    safe_csv: Annotated[bool, Parameter(negative=())] = False,
    overwrite: Overwrite = False,
    json_to: JsonTo = None,
) -> None:
    """Writes the lists of all users, equal to the answers of the service.

    Args:
        out: File ending in .parquet, .csv or .tsv.
        models: The models folder.
        version: Version of the model. Default: the current one.
        n: Largest length of a list.
        events: Event store whose events count, as in the service: sqlite:///FILE or \
postgresql://USER@HOST/DATABASE. Erased users get no list. Default: that of the service, if the \
variable is set; without a store every user of the model gets a list from their history alone.
        safe_csv: Put an apostrophe before ids and names that a spreadsheet would run as formulas: \
those that begin with =, +, -, @, a tab or a line break. Default: they are written as they are.
        overwrite: Replace a file that is there.
        json_to: Print JSON instead of tables and sentences, or write it to FILE.
    """
    output = Output(json_to, overwrite)
    output.check_out(out)
    folder = ModelsFolder(models)
    model = folder.open(folder.find(version))
    with output.err.status("verifying the model"):
        folder.verify(model.version)
    with ExitStack() as stack:
        store, rules = None, DEFAULT_RULES
        if events is not None:
            rules = load_event_rules()
            store = stack.enter_context(closing(open_event_store(events, is_optional=True)))
        bars = stack.enter_context(output.bars())
        users = export_lists(
            model, out, n=n, store=store, rules=rules, safe_csv=safe_csv, progress=bars
        )
    output.show(f"lists of {plural(users, 'user')} by model {model.version} written to {out}")
    output.result({"version": model.version, "users": users, "n": n, "path": str(out)})
