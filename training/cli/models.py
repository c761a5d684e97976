"""The commands about published models: ``models list``, ``verify`` and ``prune``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from app.artifacts.blocks import kinds_of
from app.artifacts.manifest import total_bytes
from app.artifacts.models_folder import ModelsFolder
from app.errors import InvalidArtifact, ModelNotFound
from training.cli.app import JsonTo, Models, Overwrite, models_cli
from training.cli.console import Output
from training.cli.options import Events
from training.cli.tables import versions_list
from training.engines.reading import open_event_store
from training.errors import TrainingError
from training.numbers import count, plural
from training.publishing.pruning import Pruned, prune_erased
from training.publishing.shrinkage import Shrinkage


@models_cli.command(name="list")
def list_models(
    *, models: Models = Path("models"), overwrite: Overwrite = False, json_to: JsonTo = None
) -> None:
    """Lists published models, oldest first.

    Args:
        models: The models folder.
        overwrite: Replace a file that is there.
        json_to: Print JSON instead of tables and sentences, or write it to FILE.
    """
    output = Output(json_to, overwrite)
    folder = ModelsFolder(models)
    current = folder.current()
    rows = [_describe(folder, version, current) for version in folder.versions()]
    if not rows:
        output.show(f"there is no model in {models} yet; `python -m training train` makes one")
    else:
        output.show(versions_list(rows))
    output.result(rows)


@models_cli.command
def verify(
    version: str | None = None,
    *,
    models: Models = Path("models"),
    overwrite: Overwrite = False,
    json_to: JsonTo = None,
) -> int:
    """Checks sizes, shapes, dtypes and checksums of one model, or of all.

    Args:
        version: Version of the model. Default: all.
        models: The models folder.
        overwrite: Replace a file that is there.
        json_to: Print JSON instead of tables and sentences, or write it to FILE.
    """
    output = Output(json_to, overwrite)
    folder = ModelsFolder(models)
    versions = [folder.find(version)] if version else folder.versions()
    if not versions:
        raise ModelNotFound(f"there is no model in {models} yet; train one with `train`")
    results = [_verify(output, folder, name) for name in versions]
    output.result(results)
    return 0 if all(result["ok"] for result in results) else 1


@models_cli.command
def prune(
    *,
    erased: bool = False,
    events: Events = None,
    dry_run: bool = False,
    models: Models = Path("models"),
    overwrite: Overwrite = False,
    json_to: JsonTo = None,
) -> int:
    """Removes versions that may not be served any more.

    Args:
        erased: Remove the versions that still hold erased users.
        events: Event store with the erased users: sqlite:///FILE or \
postgresql://USER@HOST/DATABASE.
        dry_run: Only show which versions would be removed.
        models: The models folder.
        overwrite: Replace a file that is there.
        json_to: Print JSON instead of tables and sentences, or write it to FILE.
    """
    output = Output(json_to, overwrite)
    if not erased or events is None:
        raise TrainingError(
            "what is to be removed? --erased --events URL removes versions that still hold users "
            "who were erased from that event store"
        )
    if not ModelsFolder(models).versions():
        raise ModelNotFound(f"there is no model in {models} yet; is its name right?")
    with closing(open_event_store(events)) as store:
        rows = prune_erased(models, store, dry_run=dry_run)
    for row in rows:
        if row.error:
            output.error(f"{row.error}; it is unknown which users it holds")
    for row in rows:
        output.show(_pruned(row, dry_run=dry_run))
    output.result([row.to_json() for row in rows])
    return 0 if dry_run or all(row.is_clean for row in rows) else 1


def _verify(output: Output, folder: ModelsFolder, version: str) -> dict[str, Any]:
    """Checks one version; shows and returns the result."""
    try:
        folder.open(version)
        folder.verify(version)
    except InvalidArtifact as error:
        output.error(str(error))
        return {"version": version, "ok": False, "error": str(error)}
    size = total_bytes(folder.manifest(version))
    output.show(f"{version}: {size / 2**20:,.1f} MiB, as published")
    return {"version": version, "ok": True, "bytes": size}


def _pruned(row: Pruned, *, dry_run: bool) -> str:
    """Returns the result for a version as a sentence."""
    version = row.version
    if row.erased_users is None:
        return f"{version}: cannot be read and is not removed; remove the folder by hand"
    if row.erased_users == 0:
        return f"{version}: holds no erased user"
    users = plural(row.erased_users, "erased user")
    if row.is_current:
        return (
            f"{version}: holds {users}. It is the current model and is not removed; the service "
            "does not recognise those users. Train with --events, then prune again"
        )
    return f"{version}: {'would be removed' if dry_run else 'removed'}; it holds {users}"


def _describe(folder: ModelsFolder, version: str, current: str | None) -> dict[str, str]:
    row = {"version": version, "state": "current" if version == current else ""}
    try:
        card = folder.manifest(version)
    except InvalidArtifact as error:
        return row | {"state": f"broken: {error}"}
    try:
        return row | _described(card, is_current=version == current)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # Its name is that of its manifest, so it was written like this.
        return row | {"state": f"broken: its manifest is not one of a training ({error!r:.80})"}


def _described(card: dict[str, Any], *, is_current: bool) -> dict[str, str]:
    publication = card.get("publication") or {"made_current": True}
    row = {}
    if not is_current and not publication["made_current"]:
        shrunk = Shrinkage.from_manifest(publication["shrinkage"])
        row["state"] = f"not made current: {shrunk}"
    metrics = card["metrics"] or {}
    ndcg = (metrics.get("models") or {}).get("als", {}).get("ndcg")
    period = card["dataset"].get("period")
    return row | {
        "dataset": str(card["dataset"]["name"]),
        "preset": str(card.get("preset") or ""),
        "blocks": " and ".join(kinds_of(card)),
        "period": "" if period is None else f"{period['first'][:10]} to {period['last'][:10]}",
        "k": "" if ndcg is None else str(metrics["k"]),
        "users": count(card["dataset"]["users"]),
        "artists": count(card["dataset"]["artists"]),
        "NDCG": "" if ndcg is None else f"{ndcg:.4f}",
    }
