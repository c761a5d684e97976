from __future__ import annotations

from pathlib import Path

import pytest

from app.events.event import MICROSECONDS, Event
from app.store.address import open_store
from training.cli.console import STDOUT, Output
from training.datasets import LoadOptions
from training.engines.engine import Source
from training.engines.reading import read_source
from training.presets import DEFAULT


def test_ids_of_events_stay_as_they_are_and_are_noted_where_they_miss_by_little(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "plays.csv"
    table.write_text("user_id,item_id\n" + "".join(f"{n % 4}.0,a{n % 9}\n" for n in range(36)))
    url = f"sqlite:///{tmp_path / 'encore.db'}"
    store = open_store(url)
    at = 1_795_000_000 * MICROSECONDS
    store.append([Event("1.0", "a1", timestamp=at), Event("2", "a2 ", timestamp=at)], at)
    store.close()
    options = LoadOptions(normalize_ids="float")
    source = Source(dataset="table", path=table, options=options, events=url, is_apart=True)

    prepared = read_source(source, DEFAULT, Output(STDOUT))

    assert prepared.interactions.user_ids.to_list() == ["0", "1", "1.0", "2", "3"]
    assert "1 user id and 1 artist id of the events differ by very little from ids of the" in (
        " ".join(capsys.readouterr().err.split())
    )
