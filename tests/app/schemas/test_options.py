"""The table of list options against the query, and one more option from the table to the lists."""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from app.recommend.query import Query, Strategy
from app.schemas.options import (
    HOT_OPTIONS,
    BatchBody,
    RecommendBody,
    RecommendParameters,
    SharedOptions,
    arguments_of,
    check_options,
)

ROOT = Path(__file__).parents[3]
CALLS = (RecommendParameters, RecommendBody, BatchBody)


class WithDiversity(BaseModel):
    diversity: float = Field(default=0.0, ge=0, le=1)


class MoreParameters(WithDiversity, RecommendParameters):
    pass


class MoreBody(WithDiversity, RecommendBody):
    pass


@dataclass(slots=True)
class MoreQuery(Query):
    diversity: float = 0.0


def test_every_way_builds_the_query_by_name() -> None:
    asked = {"discovery": 0.25, "explore": 0.1, "seed": 3, "n": 7}
    query = Query(n=7, discovery=0.25, explore=0.1, seed=3)
    for options in (
        RecommendParameters.model_validate(asked),
        RecommendBody.model_validate(asked),
        BatchBody.model_validate(asked | {"user_ids": ["u1"]}),
    ):
        assert Query(**arguments_of(options)) == query


def test_each_option_of_a_body_arrives_as_it_was_sent() -> None:
    sent = {
        "user_id": "u1",
        "n": 3,
        "offset": 2,
        "strategy": "als",
        "exclude": ["a"],
        "candidates": ["b"],
        "include_seen": True,
        "discovery": 0.5,
        "listens": [{"artist_id": "c", "plays": 4}],
        "explore": 0.2,
        "seed": 9,
    }
    assert sent.keys() == RecommendBody.model_fields.keys()
    query = Query(**arguments_of(RecommendBody.model_validate(sent)))
    expected = sent | {"strategy": Strategy.ALS, "listens": [("c", 4)], "activity": None}
    assert {one.name: getattr(query, one.name) for one in fields(query)} == expected


def test_nothing_asked_is_the_query_s_own_default() -> None:
    assert arguments_of(RecommendParameters()) == {}
    assert arguments_of(BatchBody(user_ids=["u1"])) == {}


def test_an_option_without_a_field_of_the_query_is_refused() -> None:
    with pytest.raises(TypeError, match=r"no fields of Query: \['diversity'\]"):
        check_options([*CALLS, MoreParameters], Query, HOT_OPTIONS)
    check_options([*CALLS, MoreParameters], MoreQuery, HOT_OPTIONS)


def test_a_field_of_the_query_without_an_option_is_refused() -> None:
    with pytest.raises(TypeError, match=r"no call has as options: \['diversity'\]"):
        check_options(CALLS, MoreQuery, HOT_OPTIONS)


def test_two_defaults_are_refused() -> None:
    class Other(SharedOptions):
        discovery: float = 0.5

    with pytest.raises(TypeError, match=r"the default of Other.discovery is not"):
        check_options([*CALLS, Other], Query, HOT_OPTIONS)


def test_a_hot_option_that_no_call_has_is_refused() -> None:
    with pytest.raises(TypeError, match=r"hot options that no call has: \['diversity'\]"):
        check_options(CALLS, Query, {*HOT_OPTIONS, "diversity"})


# The changes of the sources for one more option, except its behaviour.
OF_THE_TABLE = ("    seed: ExploreSeed = None\n", "    diversity: Discovery = 0.0\n")
OF_THE_QUERY = ("    seed: int | None = None\n", "    diversity: float = 0.0\n")
OF_ITS_NEEDS = ('    "seed": None,\n', '    "diversity": Step.ADJUST,\n')
OF_THE_HOT_ROUTE = ('    {"n", ', '"diversity", ')
ASK = """
import sys
from pathlib import Path
from starlette.testclient import TestClient
from app.main import create_app
from app.schemas.options import Query
from app.settings import Settings

asked, handed_over = [], []
make = Query.__init__

def observed(self, *args, **options):
    make(self, *args, **options)
    asked.append(self.diversity)

Query.__init__ = observed
app = create_app(Settings(models=Path(sys.argv[1]), state=Path(sys.argv[2])))
framework = app.hot_route._framework

async def counting(scope, receive, send):
    if scope["type"] == "http":
        handed_over.append(scope["path"])
    await framework(scope, receive, send)

app.hot_route._framework = counting
with TestClient(app) as client:
    for answer in (
        client.get("/recommend/u30?diversity=0.5"),
        client.get("/recommend/u31"),
        client.post("/recommend", json={"user_id": "u30", "diversity": 0.25}),
        client.post("/recommend/batch", json={"user_ids": ["u30"], "diversity": 0.75}),
    ):
        assert answer.status_code == 200, answer.text
    assert client.get("/recommend/u30?diversity=2").status_code == 422
operation = app.openapi()["paths"]["/recommend/{user_id}"]["get"]
assert "diversity" in {one["name"] for one in operation["parameters"]}
print(asked, handed_over[:-1])
"""


def edit(folder: Path, of: object, after: str, what: str) -> None:
    source = folder / Path(inspect.getfile(of)).relative_to(ROOT)  # type: ignore[arg-type]
    text = source.read_text()
    assert text.count(after) == 1
    source.write_text(text.replace(after, after + what))


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("is_hot", [False, True])
def test_one_more_option_reaches_the_query_on_every_way(
    models: Path, tmp_path: Path, is_hot: bool
) -> None:
    # Was wrong: the hot route dropped it silently.
    shutil.copytree(ROOT / "app", tmp_path / "app")
    edit(tmp_path, SharedOptions, *OF_THE_TABLE)
    edit(tmp_path, Query, *OF_THE_QUERY)
    edit(tmp_path, Query, *OF_ITS_NEEDS)
    if is_hot:
        edit(tmp_path, SharedOptions, *OF_THE_HOT_ROUTE)
    asked = run(tmp_path, "-c", ASK, models, tmp_path)
    assert asked.returncode == 0, asked.stderr
    others = ["/recommend", "/recommend/batch"]
    handed_over = others if is_hot else ["/recommend/u30", *others]
    assert asked.stdout == f"[0.5, 0.0, 0.25, 0.75] {handed_over}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "rows",
    [
        [(SharedOptions, OF_THE_TABLE)],
        [(Query, OF_THE_QUERY)],
        [(Query, OF_THE_QUERY), (Query, OF_ITS_NEEDS)],
        [(SharedOptions, OF_THE_TABLE), (Query, OF_THE_QUERY)],
    ],
    ids=["table", "query", "query and needs", "table and query"],
)
def test_one_more_option_in_some_places_only_is_a_failure_at_import(
    tmp_path: Path, rows: list[tuple[object, tuple[str, str]]]
) -> None:
    shutil.copytree(ROOT / "app", tmp_path / "app")
    for of, row in rows:
        edit(tmp_path, of, *row)
    imported = run(tmp_path, "-c", "import app.main")
    assert imported.returncode == 1
    assert "['diversity']" in imported.stderr.splitlines()[-1]
