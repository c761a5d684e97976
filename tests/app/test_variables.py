from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.settings import Settings, variable
from app.variables import OTHER_VARIABLES, check_spelling, distance, is_service_link

ROOT = Path(__file__).parents[2]
SETTINGS = {variable(name) for name in Settings.model_fields}
# Examples of names that are wrong, in tests and pages.
WRONG = {
    "ENCORE_HUM_UNITS",
    "ENCORE_API_KYE",
    "ENCORE_PROT",
    "ENCORE_DATABASE_ULR",
    "ENCORE_FOOBAR",
}
NAME = re.compile(r"ENCORE_[A-Z0-9_]*[A-Z0-9]")


def misspelt(*names: str) -> tuple[str, ...]:
    return check_spelling(dict.fromkeys(names, "x"), SETTINGS).misspelt


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("ENCORE_PROT", "ENCORE_PORT"),
        ("ENCORE_API_KYE", "ENCORE_API_KEY"),
        ("ENCORE_APIKEY", "ENCORE_API_KEY"),
        ("ENCORE_WORKER", "ENCORE_WORKERS"),
        ("ENCORE_DATABASE_ULR", "ENCORE_DATABASE_URL"),
        ("ENCORE_MODEL", "ENCORE_MODELS"),
        ("ENCOREPORT", "ENCORE_PORT"),
        ("encore_api_kye", "ENCORE_API_KEY"),
        ("ENCORE_SERVE_MEMROY", "ENCORE_SERVE_MEMORY"),
    ],
)
def test_a_name_within_two_letters_is_refused_with_the_right_one(name: str, right: str) -> None:
    assert misspelt(name) == (f"{name} is not a setting: do you mean {right}?",)


@pytest.mark.parametrize("name", sorted({*SETTINGS, *OTHER_VARIABLES}))
def test_no_known_variable_is_taken_for_a_misspelt_one(name: str) -> None:
    assert misspelt(name, name.lower()) == ()


def test_other_names_are_named_and_do_no_harm() -> None:
    found = check_spelling(
        {"ENCORE_FOOBAR": "1", "ENCORES": "x", "PATH": "x", "ENCORE_PROT": ""}, SETTINGS
    )
    assert (found.misspelt, found.unknown) == ((), ("ENCORE_FOOBAR",))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENCORE_SERVICE_HOST", "10.0.0.1"),
        ("ENCORE_SERVICE_PORT", "8000"),
        ("ENCORE_SERVICE_PORT_HTTP", "8000"),
        ("ENCORE_PORT_8000_TCP", "tcp://10.0.0.1:8000"),
        ("ENCORE_PORT_8000_TCP_PROTO", "tcp"),
        ("ENCORE_PORT_8000_TCP_PORT", "8000"),
        ("ENCORE_PORT_8000_TCP_ADDR", "10.0.0.1"),
        ("ENCORE_X_PORT", "tcp://10.0.0.1:8000"),  # two letters from ENCORE_PORT
        ("ENCORE_POSTGRES_SERVICE_HOST", "10.0.0.2"),
        ("ENCORE_NAME", "/web/encore"),  # by a link of Docker
    ],
)
def test_what_kubernetes_sets_for_a_service_of_this_name_is_no_misspelt_setting(
    name: str, value: str
) -> None:
    found = check_spelling({name: value}, SETTINGS)
    assert (found.misspelt, found.unknown) == ((), ())


def test_the_port_is_a_setting_unless_it_is_a_link() -> None:
    assert is_service_link("ENCORE_PORT", "tcp://10.0.0.1:8000")
    assert not is_service_link("ENCORE_PORT", "8000")


def test_the_table_holds_every_variable_of_the_repository() -> None:
    files = [ROOT / "docker-compose.yml", ROOT / "Dockerfile", ROOT / "README.md"]
    for folder in ("app", "training", "benchmarks", "docs", "tests"):
        files += [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.md")]
    files.remove(Path(__file__))
    found = {name for file in files for name in NAME.findall(file.read_text(encoding="utf-8"))}
    others = found - SETTINGS - OTHER_VARIABLES.keys() - WRONG
    assert {name for name in others if not is_service_link(name, "")} == set()
    compose = NAME.findall((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    by_compose = {name for name, reader in OTHER_VARIABLES.items() if "compose" in reader}
    assert by_compose == {*compose} - SETTINGS
    assert not SETTINGS & OTHER_VARIABLES.keys()


@pytest.mark.parametrize(
    ("first", "second", "letters"),
    [("", "abc", 3), ("abc", "abc", 0), ("abcd", "acbd", 1), ("abc", "ab", 1), ("ca", "abc", 3)],
)
def test_distances(first: str, second: str, letters: int) -> None:
    assert distance(first, second) == distance(second, first) == letters


@given(st.text("ab", max_size=6), st.text("ab", max_size=6))
def test_a_distance_is_bounded_by_the_lengths(first: str, second: str) -> None:
    assert abs(len(first) - len(second)) <= distance(first, second)
    assert distance(first, second) <= max(len(first), len(second))
    assert (distance(first, second) == 0) is (first == second)
