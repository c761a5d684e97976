"""One more row in a table about events: found everywhere, or refused at import.

The service and the training are copied, the row is added to the copy, and a process of its own
looks at what that knows of it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.events.event_types import EventType

ROOT = Path(__file__).parents[1]
TYPES, SETTINGS = "app/events/event_types.py", "app/settings.py"
BEFORE_TYPES = "    @property\n    def plural(self)"
HUM = """    HUM = (
        "hum",
        Effect(
            past="hummed",
            words="as much as a play",
            counting=Counting.EACH,
            units=lambda rules: rules.hum,
            is_seen=True,
        ),
    )

"""
BEFORE_RULES = "    skip_days: float = 30.0\n"
RULE = "    hum: float = 1.0\n"
BEFORE_SETTINGS = "    skip_days: float = Field(\n"
SETTING = """    hum_units: float = Field(
        default=DEFAULT_RULES.hum, ge=0, le=100, description="What a hum counts for."
    )
"""
BEFORE_NAMES = '    "skip_days": "skip_days",\n'
NAME = '    "hum": "hum_units",\n'
EVENTS, BEFORE_FIELDS = "app/events/event.py", "    artist_name: str | None = None\n"
FIELD = "    device: str | None = None\n"
COLUMNS, BEFORE_COLUMNS = "app/store/event_columns.py", ")\nREAD_COLUMNS"
COLUMN = """    EventColumn(
        name="device",
        sql="{bytes}",
        write=lambda row: None,
        read=_optional_text,
        dumped=Dumped("device", lambda entry: None),
        since=6,
    ),
"""

LOOK = """
import json
from contextlib import closing
from pathlib import Path
from app.events.activity import activity_of
from app.events.event import Event, EventType
from app.main import create_app
from app.settings import load_event_rules
from app.store.address import open_store
from training.cli.events import _PASSING
from training.cli.tables import _EVENTS
from training.event_data.dump import check_dump, dump, load
from training.event_data.merge import merge, read_event_log

api = create_app().openapi()
sent = api["components"]["schemas"]["EventIn"]["properties"]["type"]
hum, rules = EventType("hum"), load_event_rules()
with closing(open_store("sqlite:///one.db")) as one, closing(open_store("sqlite:///two.db")) as two:
    one.append([Event("u", "a", hum), Event("u", "a", hum), Event("v", "b")], 1)
    dump(one, Path("dump.jsonl"))
    load(two, check_dump(Path("dump.jsonl")))
    activity = activity_of(two.events_of("u", limit=9), rules, 2)
    merged = merge(read_event_log(two), rules=rules)
    listeners = two.listeners_of("a", limit=9)
print(json.dumps({
    "sent": [sent["enum"], "a `hum` as much as a play" in sent["description"]],
    "shown": api["components"]["schemas"]["EventType"]["enum"],
    "summary": api["paths"]["/events"]["post"]["summary"],
    "units": dict(activity.units),
    "seen": sorted(activity.seen),
    "barred": sorted(activity.barred),
    "listeners": listeners,
    "plays": merged.records.plays.tolist(),
    "hums": [merged.counts["hums"], _EVENTS["  hums"], hum in _PASSING],
}))
"""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for folder in ("app", "training"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    return tmp_path


def insert(copied: Path, name: str, before: str, text: str) -> None:
    path = copied / name
    source = path.read_text()
    assert source.count(before) == 1
    path.write_text(source.replace(before, text + before))


def run(
    copied: Path, script: str, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=copied,
        env={"PYTHONPATH": str(copied), **(settings or {})},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_type_that_is_added_to_the_table_is_everywhere(copied: Path) -> None:
    insert(copied, TYPES, BEFORE_TYPES, HUM)
    insert(copied, TYPES, BEFORE_RULES, RULE)
    insert(copied, SETTINGS, BEFORE_SETTINGS, SETTING)
    insert(copied, SETTINGS, BEFORE_NAMES, NAME)
    ended = run(copied, LOOK, {"ENCORE_HUM_UNITS": "1.5"})
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    types = [*map(str, EventType), "hum"]
    deeds = ", ".join(kind.effect.past for kind in EventType)
    assert found == {
        "sent": [types, True],
        "shown": types,
        "summary": f"Tell what a user just {deeds} or hummed",
        "units": {"a": 3.0},
        "seen": ["a"],
        "barred": [],
        "listeners": ["u"],
        "plays": [1.0, 7.0],
        "hums": [2, "hums", True],
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "text", "module", "reason"),
    [
        (BEFORE_TYPES, '    HUM = "hum"\n', "app.events.activity", "does not say what it does"),
        (BEFORE_RULES, RULE, "app.settings", "each field of EventRules needs a setting"),
        (
            BEFORE_TYPES,
            HUM.replace("EACH", "PLAYS").replace(".hum", ".play"),
            "app.events.activity",
            "only one event type may carry plays, and not play, hum",
        ),
    ],
)
def test_a_type_that_is_not_whole_is_refused_at_import(
    copied: Path, before: str, text: str, module: str, reason: str
) -> None:
    insert(copied, TYPES, before, text)
    ended = run(copied, f"import {module}")
    assert ended.returncode == 1
    assert reason in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "module", "reason"),
    [
        ((EVENTS, BEFORE_FIELDS, FIELD), "app.store.address", "without a column: device"),
        (
            (EVENTS, BEFORE_FIELDS, FIELD),
            "app.schemas.events",
            "EventIn lacks fields of Event: device",
        ),
        ((COLUMNS, BEFORE_COLUMNS, COLUMN), "training.event_data.dump", "reads differ"),
    ],
)
def test_a_field_of_events_is_stored_sent_and_dumped_or_refused_at_import(
    copied: Path, row: tuple[str, str, str], module: str, reason: str
) -> None:
    insert(copied, *row)
    ended = run(copied, f"import {module}")
    assert ended.returncode == 1
    assert reason in ended.stderr
