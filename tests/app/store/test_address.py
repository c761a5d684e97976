from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from app.store.address import check_url, open_store
from app.store.postgres import PostgresEventStore
from app.store.sqlite import SqliteEventStore
from tests.postgres import PostgresServer


@pytest.mark.parametrize(
    "url",
    [
        "",
        "encore.db",
        "sqlite://encore.db",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///encore.db?mode=ro",
        "mysql://user:geheim@host/x",
        "postgresql:host",
    ],
)
def test_a_url_of_no_store_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="expected sqlite:///FILE") as caught:
        check_url(url)
    assert "geheim" not in str(caught.value)


def test_a_relative_path_is_one_of_the_folder_where_the_service_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///events of today.db")
    assert isinstance(store, SqliteEventStore)
    store.close()
    assert (tmp_path / "events of today.db").exists()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_postgresql_has_two_names(postgres: PostgresServer, scheme: str) -> None:
    store = open_store(postgres.new_database().replace("postgresql", scheme, 1))
    assert isinstance(store, PostgresEventStore)
    store.close()


def test_a_missing_driver_is_one_sentence_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec

    def without_driver(name: str, *rest: Any) -> Any:
        return None if name.startswith("psycopg") else find_spec(name, *rest)

    monkeypatch.setattr("app.store.address.find_spec", without_driver)
    with pytest.raises(ValueError, match=r"pip install '\.\[postgres\]'"):
        check_url("postgresql://host/x")
