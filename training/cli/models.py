"""The commands about published models: ``models list``, ``verify``, ``prune`` and ``export``."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from app.artifact import open_model, read_manifest, total_bytes, verify_checksums
from app.errors import InvalidArtifact, ModelNotFound
from app.event_types import DEFAULT_RULES
from app.settings import load_event_rules
from app.versions import current_version, list_versions
from training.cli.app import AsJson, Models, cli, find_version, models_cli
from training.cli.console import Output
from training.cli.options import Cutoff
from training.cli.reading import open_event_store
from training.cli.tables import versions_table
from training.errors import TrainingError
from training.event_data.erasure import count_erased
from training.export import export as export_lists
from training.publishing import remove
from training.shrinkage import Shrinkage


@cli.command
def export(
    *,
    out: Path,
    models: Models = Path("models"),
    version: str | None = None,
    n: Cutoff = 10,
    events: str | None = None,
    as_json: AsJson = False,
) -> None:
    """Writes everyone's list, equal to the live answers.

    Args:
        out: File ending in .parquet, .csv or .tsv.
        models: The models folder.
        version: Which model. Default: the current one.
        n: Longest list.
        events: Event store whose events count, as in the service: sqlite:///FILE or \
postgresql://USER@HOST/DATABASE. Users who were erased get no list. Default: none, and everyone \
whom the model knows gets the list of their history.
        as_json: Print JSON instead of a sentence.
    """
    output = Output(quiet=as_json)
    folder = models / find_version(models, version)
    model = open_model(folder)
    with output.err.status("verifying the model"):
        verify_checksums(folder)
    with ExitStack() as stack:
        store, rules = None, DEFAULT_RULES
        if events is not None:
            rules = load_event_rules()
            store = stack.enter_context(closing(open_event_store(events)))
        bars = stack.enter_context(output.bars())
        users = export_lists(model, out, n=n, store=store, rules=rules, progress=bars)
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
        folder = models / find_version(models, name)
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


@models_cli.command
def prune(
    *,
    erased: bool = False,
    events: Annotated[str | None, Parameter(env_var="ENCORE_DATABASE_URL")] = None,
    dry_run: bool = False,
    models: Models = Path("models"),
    as_json: AsJson = False,
) -> int:
    """Removes versions that nobody may serve any more.

    Args:
        erased: Those that still hold users who were erased.
        events: Event store that says who was erased: sqlite:///FILE or \
postgresql://USER@HOST/DATABASE.
        dry_run: Only say which.
        models: The models folder.
        as_json: Print JSON instead of sentences.
    """
    output = Output(quiet=as_json)
    if not erased or events is None:
        raise TrainingError(
            "say what to remove: --erased --events URL removes versions that still hold users whom "
            "that event store has erased"
        )
    versions = list_versions(models)
    if not versions:
        raise ModelNotFound(f"there is no model in {models} yet; is its name right?")
    results: list[dict[str, Any]] = []
    with closing(open_event_store(events)) as store:
        current = current_version(models)
        for version in versions:
            row: dict[str, Any] = {"version": version, "erased_users": None, "removed": False}
            try:
                row["erased_users"] = count_erased(models / version, store)
            except InvalidArtifact as error:
                output.error(f"{error}; whom it holds is unknown")
            if row["erased_users"] and version != current:
                if not dry_run:
                    remove(models, version)
                row["removed"] = not dry_run
            results.append(row)
    for row in results:
        output.show(_pruned(row, is_current=row["version"] == current, dry_run=dry_run))
    if as_json:
        output.json(results)
    is_clean = all(row["removed"] or row["erased_users"] == 0 for row in results)
    return 0 if is_clean or dry_run else 1


def _pruned(row: dict[str, Any], *, is_current: bool, dry_run: bool) -> str:
    version, count = row["version"], row["erased_users"]
    if count is None:
        return f"{version}: cannot be read, and stays; remove the folder by hand"
    if count == 0:
        return f"{version}: holds nobody who was erased"
    users = "1 user who was" if count == 1 else f"{count:,} users who were"
    if is_current:
        return (
            f"{version}: holds {users} erased. It is the current model and stays; the service "
            "does not recognise them. Train with --events, then prune again"
        )
    return f"{version}: {'would be removed' if dry_run else 'removed'}; it holds {users} erased"


def _describe(models: Path, version: str, current: str | None) -> dict[str, str]:
    row = {"version": version, "state": "current" if version == current else ""}
    try:
        card = read_manifest(models / version)
        publication = card.get("publication") or {"made_current": True}
        if version != current and not publication["made_current"]:
            shrunk = Shrinkage.from_manifest(publication["shrinkage"])
            row["state"] = f"not made current: {shrunk}"
        ndcg = ((card["metrics"] or {}).get("models") or {}).get("als", {}).get("ndcg")
        return row | {
            "dataset": str(card["dataset"]["name"]),
            "users": f"{card['dataset']['users']:,}",
            "artists": f"{card['dataset']['artists']:,}",
            "NDCG": "" if ndcg is None else f"{ndcg:.4f}",
        }
    except InvalidArtifact as error:
        return row | {"state": f"broken: {error}"}
