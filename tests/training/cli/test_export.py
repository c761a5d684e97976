from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from app.artifacts.models_folder import ModelsFolder
from app.store.address import open_store
from tests.training.cli.commands import (
    N_USERS,
    error_of,
    flip_a_bit,
    train,
)
from training.cli import main


@pytest.mark.slow
def test_export_writes_the_lists_of_the_current_model(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "lists.parquet"
    assert main(["export", "--models", str(models), "--out", str(out), "--n", "3"]) == 0
    assert f"{N_USERS} users" in capsys.readouterr().out
    assert pl.read_parquet(out).height == 3 * N_USERS
    tokens = ["export", "--models", str(models), "--out", str(out), "--n", "2", "--json"]
    assert main(tokens) == 1
    assert f"{out} exists; replace it with --overwrite" in error_of(capsys)
    assert pl.read_parquet(out).height == 3 * N_USERS
    assert main([*tokens, "--overwrite"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "version": ModelsFolder(models).current(),
        "users": N_USERS,
        "n": 2,
        "path": str(out),
    }


def test_export_takes_the_events_of_the_service_unless_told_otherwise(
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, out = f"sqlite:///{tmp_path / 'encore.db'}", tmp_path / "lists.csv"
    erased = ModelsFolder(models).open_current().users.id(3)
    monkeypatch.setenv("ENCORE_DATABASE_URL", url)
    tokens = ["export", "--models", str(models), "--out", str(out), "--overwrite"]
    assert main(tokens) == 1
    assert "Or go on without one: --no-events" in error_of(capsys)
    store = open_store(url)
    store.erase(erased, 1)
    store.close()
    for options, users in (([], N_USERS - 1), (["--no-events"], N_USERS)):
        assert main([*tokens, *options]) == 0
        assert pl.read_csv(out)["user_id"].n_unique() == users


def test_export_of_an_unknown_version_is_refused(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = ["export", "--models", str(models), "--version", "../x", "--out"]
    assert main([*tokens, str(tmp_path / "x.csv")]) == 1
    assert "no version '../x'" in error_of(capsys)


@pytest.mark.slow
def test_export_refuses_a_damaged_model(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Was wrong: only sizes were looked at, and the lists were not those of the service.
    assert train(sample, tmp_path, "--no-evaluation") == 0
    (version,) = ModelsFolder(tmp_path).versions()
    flip_a_bit(tmp_path / version / "top_items.npy")
    out = tmp_path / "lists.csv"
    assert main(["export", "--models", str(tmp_path), "--out", str(out)]) == 1
    assert "top_items.npy: expected SHA-256" in error_of(capsys)
    assert not out.exists()
