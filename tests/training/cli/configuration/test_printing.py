"""What ``train --print`` prints: it reads back to the same."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.training.cli.configuration.printed import config, holds, printed

TIMED = ["--split", "global-time", "--at", "2009-01-01T00:00:00"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "tokens",
    [
        [],
        ["--preset", "reference"],
        ["--dataset", "table", "--data", "x.csv", "--user-column", 'a "b"\n[c]', "--quoting"],
        ["--dataset", "lastfm-360k", "--allow-unreadable"],
        ["--split", "k-fold", "--folds", "3", "--k", "7"],
        ["--split", "k-fold"],
        ["--split", "global-time"],
        ["--split", "leave-last-out"],
        ["--split", "held-out-users", "--test-fraction", "0.4"],
        TIMED,
        ["--no-evaluation", "--no-report", "--force", "--json", "-"],
        ["--regularization", "1.5", "--seed", "4", "--half-life", "30", "--top-users", "5"],
        ["--events", "sqlite:///e.db", "--data-until", "2009-01-01T00:00:00+02:00"],
        ["--no-events"],
        ["--factors", "0", "--linear-rank", "9", "--linear-weighting", "binary"],
        ["--linear-rank", "0"],
    ],
)
def test_what_is_printed_reads_back_to_the_same(
    tokens: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = printed(capsys, *tokens)
    path = config(tmp_path, first)
    second = printed(capsys, "--config", str(path))
    assert tomllib.loads(second) == tomllib.loads(first)
    path.write_text(second)
    assert printed(capsys, "--config", str(path)) == second


def test_each_value_has_its_origin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENCORE_MODELS", "/m")
    path = config(tmp_path, "[recipe]\nfactors = 9\n")
    lines = printed(capsys, "--config", str(path), "--alpha", "2").splitlines()
    assert "factors = 9 # file" in lines
    assert "alpha = 2.0 # command line" in lines
    assert 'models = "/m" # ENCORE_MODELS' in lines
    assert 'weighting = "bm25" # default' in lines
    lines = printed(capsys, "--preset", "reference", "--linear-rank", "9").splitlines()
    assert "linear_rank = 9 # command line" in lines
    assert "linear_share = 0.6 # default" in lines
    assert 'linear_weighting = "binary" # default' in lines


def test_what_the_data_decide_has_no_value_before_they_are_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = printed(capsys, "--alpha", "2", "--linear-rank", "9").splitlines()
    assert "# by the data: relative_regularization, linear_item_exponent, linear_weight" in lines
    assert "factors = 128 # default" in lines
    lines = printed(capsys, "--linear-rank", "0", "--alpha", "2").splitlines()
    assert "# by the data: relative_regularization" in lines
    lines = printed(capsys, "--preset", "reference").splitlines()
    assert not any("by the data" in line for line in lines)


def test_what_is_not_set_is_said_shortly(capsys: pytest.CaptureFixture[str]) -> None:
    # Was wrong: some thirty lines, one for each option that is not set.
    tokens = ["--dataset", "spotify", "--half-life", "30"]
    lines = printed(capsys, *tokens).splitlines()
    comments = [line for line in lines if line.startswith("#")]
    assert comments == [
        "# not set: data, user_id, events, data_until",
        "# by the data: relative_regularization, alpha, linear_rank, linear_item_exponent, "
        "linear_weight",
        "# not set: top_users, regularization",
        "# not set: folds, at, patience, contenders",
        "# not set: spark_master, spark_conf",
        "# not set: search, json",
    ]
    assert not any("user_column" in line for line in lines)
    assert all(len(line) <= 100 for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:secret@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:se@cret@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:se/secret@h/db", "postgresql://u:***@h/db"),
        ("postgresql://h/db?password=secret&x=1", "postgresql://h/db?password=***&x=1"),
    ],
)
def test_passwords_are_masked(
    url: str, shown: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert holds(capsys, "--events", url)["events"] == shown
    monkeypatch.setenv("ENCORE_DATABASE_URL", url)
    # The same environment gives the same events, so the line is a comment.
    text = printed(capsys)
    assert f"# events: {shown}, from the environment" in text.splitlines()
    assert "secret" not in text
    assert "events" not in holds(capsys)
