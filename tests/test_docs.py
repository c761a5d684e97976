"""What the pages about the code name, held against the code."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
from fastapi import FastAPI

from app.events.event_types import DEFAULT_RULES, Counting, EventType
from app.events.personal_data import Place
from app.schemas.options import RecommendBody, RecommendParameters
from app.store.event_columns import EVENT_COLUMNS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
FOLDERS = "app|training|tests|benchmarks"
LONGEST = 128

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def text_of(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    return text_of(page).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(table: str) -> list[list[str]]:
    """The cells of each row that begins with a name in code."""
    found = re.findall(r"^\| (`.*) \|$", table, re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in found]


@pages
def test_files_that_pages_name_are_there(page: Path) -> None:
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pages
def test_modules_that_pages_name_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(rf"`((?:{FOLDERS})(?:\.\w+)+)`", text)
    named += re.findall(rf"python -m ((?:{FOLDERS})(?:\.\w+)*)", text)
    missing = []
    for name in named:
        path = ROOT / name.replace(".", "/")
        is_method = hasattr(FastAPI, name.removeprefix("app."))  # `app.add_middleware`
        if not (path.is_dir() or path.with_suffix(".py").is_file() or is_method):
            missing.append(name)
    assert missing == []


@pytest.mark.parametrize(
    ("heading", "folder"),
    [
        ("lists.md#The steps of a list", "app/recommend"),
        ("events.md#How it is written", "app/serving/journal"),
    ],
)
def test_modules_of_a_folder_that_a_table_names_are_there(heading: str, folder: str) -> None:
    page, _, title = heading.partition("#")
    table = "\n".join(re.findall(r"^\|.*", section(page, title), re.MULTILINE))
    named = re.findall(r"`([a-z_]+)`", table)
    assert len(named) > 5
    assert [name for name in named if not (ROOT / folder / f"{name}.py").exists()] == []


def test_tables_that_one_joins_are_in_the_file_that_is_named_beside_them() -> None:
    table = section("design.md", "Where to change what")
    found = re.findall(r"`(@?\w+(?:\.\w+)?)` (?:in|\() ?`([\w/]+\.py)`", table)
    assert len(found) > 15
    assert [
        (name, path) for name, path in found if name.lstrip("@") not in (ROOT / path).read_text()
    ] == []


def test_the_page_about_events_has_the_table_of_types() -> None:
    words = {Counting.PLAYS: "as plays", Counting.OPINION: "as an opinion", Counting.EACH: "each"}
    shown = rows(section("events.md", "Types"))
    assert [row[0] for row in shown] == [f"`{kind}`" for kind in EventType]
    for (_, _, adds_up, units, seen, hides), effect in zip(
        shown, [kind.effect for kind in EventType], strict=True
    ):
        assert adds_up.startswith(words[effect.counting])
        assert float(units) == effect.units(DEFAULT_RULES)
        assert seen == ("yes" if effect.is_seen else "no")
        if effect.hidden_days is not None:
            assert hides == f"for {effect.hidden_days(DEFAULT_RULES):g} days"
        else:
            assert hides.startswith("until" if effect.rejects else "no")


def test_the_page_about_events_has_the_table_of_columns() -> None:
    shown = [(row[0], row[-1]) for row in rows(section("events.md", "Columns"))]
    assert shown == [
        (f"`{one.name}`", f"`{one.dumped.name}`" if one.dumped else "") for one in EVENT_COLUMNS
    ]


def test_the_page_about_events_has_the_table_of_places_that_hold_a_person() -> None:
    shown = [row for row in rows(section("events.md", "Erasure")) if len(row) == 4]
    assert shown == [
        [f"`{place}`", place.holding.holds, place.holding.goes.value, place.holding.how]
        for place in Place
    ]


def test_bounds_of_memory_are_those_of_the_code() -> None:
    shown = section("scaling.md", "What a worker remembers")
    found = re.findall(r"\| ([\d,]+) \| `(_\w+)` in `([\w/]+)\.py`", shown)
    assert len(found) > 8
    for number, name, path in found:
        module = import_module(path.replace("/", "."))
        assert int(number.replace(",", "")) == getattr(module, name), name


def test_the_page_about_calls_has_every_list_option() -> None:
    shown = section("api.md", "Lists")
    listed = [row[0] for row in rows(shown.partition("\n\n`source`")[0])]
    assert sorted(listed) == sorted(f"`{name}`" for name in RecommendParameters.model_fields)
    assert [name for name in RecommendBody.model_fields if f"`{name}`" not in shown] == []


@pages
def test_lines_are_no_longer_than_a_screen(page: Path) -> None:
    lines = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    long = [
        line
        for line in lines.splitlines()
        if len(line) > LONGEST and not line.startswith(("|", "    "))
    ]
    assert long == []
