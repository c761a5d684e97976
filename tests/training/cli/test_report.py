from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.cli.commands import QUICK, error_of, of_sample, of_table
from training.cli import main


def report(sample: Path, out: Path, *more: str) -> int:
    return main(["report", *of_sample(sample), *QUICK, "--out", str(out), *more])


@pytest.mark.slow
def test_a_report_is_one_page_with_what_evaluate_measures(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.html"
    out.write_text("an earlier one")
    assert report(sample, out, "--overwrite") == 0
    shown = capsys.readouterr().out
    assert shown.endswith(f"the report is in {out}\n")
    page = out.read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "<script" not in page
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    rows = (sample / "usersha1-artmbid-artname-plays.tsv").read_text().splitlines()
    users = {row.split("\t")[0] for row in rows}
    assert len(users) > 50
    assert not [user for user in users if user in page]
    assert main(["evaluate", *of_sample(sample), *QUICK, "--json", "-"]) == 0
    ndcg = json.loads(capsys.readouterr().out)["models"]["als"]["ndcg"]
    assert f"{ndcg:.4f}" in shown
    assert f"{ndcg:.3f}" in page


def test_an_earlier_file_is_not_replaced_unasked(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.html"
    out.write_text("precious")
    assert report(sample, out) == 1
    assert f"{out} exists; replace it with --overwrite, or name another file" in error_of(capsys)
    assert out.read_text() == "precious"


@pytest.mark.slow
def test_a_report_shows_what_a_search_found_on_these_data(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = tmp_path / "space.toml"
    space.write_text("factors = [4, 6]\niterations = 2\n")
    config = tmp_path / "best.toml"
    tokens = ["--out", str(config), "--space", str(space), "--trials", "2"]
    assert main(["tune", *of_sample(sample), *tokens]) == 0
    out = tmp_path / "report.html"
    state = tmp_path / "best.search"
    more = ["--config", str(config), "--search", str(state)]
    assert report(sample, out, *more) == 0
    assert "2 trials" in out.read_text()
    # What was found on another split says nothing about this one.
    out.unlink()
    for other in (["--seed", "3"], ["--split", "k-fold"]):
        assert report(sample, out, *more, *other) == 1
        assert f"{state} belongs to a search on other data" in error_of(capsys)
        assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("split", ["k-fold", "held-out-users"])
def test_a_report_of_every_kind_of_split(sample: Path, tmp_path: Path, split: str) -> None:
    out = tmp_path / "report.html"
    folds = ["--folds", "2"] if split == "k-fold" else []
    assert report(sample, out, "--split", split, *folds) == 0
    assert split.replace("-", " ").split()[0] in out.read_text()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("/no/such/folder/x.html", "/no/such/folder: there is no such folder; make it first"),
        (".", "is a folder; name a file in it"),
    ],
)
def test_a_place_that_cannot_be_is_refused_before_the_data_are_read(
    out: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *of_table(tmp_path / "missing.csv"), "--out", out]) == 1
    assert message in error_of(capsys)


def test_a_search_that_is_none_is_refused_before_the_data_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = [*of_table(tmp_path / "missing.csv"), "--out", str(tmp_path / "x.html")]
    assert main(["report", *tokens, "--search", str(tmp_path / "x.search")]) == 1
    assert "x.search: there is no such search; `tune` makes one" in error_of(capsys)
    other = tmp_path / "other.search"
    other.write_text("no search")
    assert main(["report", *tokens, "--search", str(other)]) == 1
    assert f"{other} holds no search" in error_of(capsys)


@pytest.mark.slow
def test_a_search_on_another_split_is_not_shown(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Was wrong: any search was shown, with the words that it had not used the test part.
    best, found = tmp_path / "best.toml", tmp_path / "best.search"
    assert main(["tune", *of_sample(sample), "--out", str(best), "--trials", "1"]) == 0
    out = tmp_path / "report.html"
    assert report(sample, out, "--search", str(found), "--seed", "1") == 1
    assert f"{found} belongs to a search on other data" in error_of(capsys)
    assert not out.exists()
    assert report(sample, out, "--search", str(found)) == 0
    page = out.read_text()
    assert "the test part was not used" in page
    assert "are those of other hyperparameters than the best" in page
