"""What a file of options gives to a command, and what is refused in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.artifacts.manifest import read_manifest
from app.artifacts.models_folder import ModelsFolder
from tests.training.cli.commands import QUICK, error_of, exit_code
from tests.training.cli.configuration.printed import config, holds
from training.cli import main

WHOLE = """
[data]
dataset = "table"
data = "plays.csv"
user_column = "who"
events = false

[recipe]
weighting = "log"
factors = 6
regularization = 0.5
iterations = 2

[evaluation]
split = "k-fold"
folds = 2
k = 3

[publish]
models = "out"
top_lists = 7
"""


@pytest.mark.slow
def test_a_file_says_how_we_train_evaluate_tune_and_report(
    table: Path,
    space: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENCORE_DATABASE_URL", "sqlite:////no/such/folder/events.db")
    table.write_text(table.read_text().replace("user_id", "who"))
    path = config(tmp_path, WHOLE)
    monkeypatch.chdir("/")  # paths count from the folder of the file
    assert main(["train", "--config", str(path), "--no-report"]) == 0
    folder = ModelsFolder(tmp_path / "out")
    manifest = read_manifest(folder.place_of(str(folder.current())))
    assert manifest["parameters"]["factors"] == 6
    assert manifest["parameters"]["weighting"] == "log"
    assert main(["evaluate", "--config", str(path), *QUICK]) == 0
    best, page = tmp_path / "best.toml", tmp_path / "page.html"
    search = ["--trials", "1", "--space", str(space)]
    assert main(["tune", "--config", str(path), "--out", str(best), *search]) == 0
    assert main(["report", "--config", str(best), "--out", str(page)]) == 1
    assert "which dataset?" in error_of(capsys)
    table.unlink()
    assert main(["report", "--config", str(path), "--out", str(page)]) == 1
    assert f"{table} does not exist" in error_of(capsys)
    assert holds(capsys, "--config", str(best))["weighting"]
    assert "[recipe]" in best.read_text()


def test_options_on_the_command_line_win(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, WHOLE)
    found = holds(capsys, "--config", str(path), "--factors", "9", "--models", "/m", "--k", "4")
    assert (found["factors"], found["models"], found["k"]) == (9, "/m", 4)
    assert (found["weighting"], found["top_lists"], found["folds"]) == ("log", 7, 2)
    assert found["data"] == str(tmp_path / "plays.csv")


@pytest.mark.slow
def test_a_file_wins_over_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENCORE_DATABASE_URL", "sqlite:////e.db")
    monkeypatch.setenv("ENCORE_MODELS", "/of/environment")
    path = config(tmp_path, '[data]\ndataset = "table"\n')
    assert holds(capsys, "--config", str(path))["events"] == "sqlite:////e.db"
    assert holds(capsys, "--config", str(path))["models"] == "/of/environment"
    path = config(tmp_path, '[data]\nevents = false\n[publish]\nmodels = "m"\n')
    assert holds(capsys, "--config", str(path))["events"] is False
    assert holds(capsys, "--config", str(path))["models"] == str(tmp_path / "m")
    path = config(tmp_path, '[data]\nevents = "sqlite:///e.db"\n')
    assert holds(capsys, "--config", str(path))["events"] == f"sqlite:///{tmp_path}/e.db"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tokens", "gone"),
    [
        (["--relative-regularization", "0.3"], {"regularization"}),
        (["--split", "leave-last-out"], {"folds"}),
        (["--dataset", "lastfm-360k"], {"data", "user_column"}),
        (["--no-evaluation"], {"k", "split", "folds"}),
    ],
)
def test_an_option_leaves_out_what_goes_with_another_choice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tokens: list[str], gone: set[str]
) -> None:
    path = str(config(tmp_path, WHOLE))
    assert gone <= holds(capsys, "--config", path).keys()
    assert not gone & holds(capsys, "--config", path, *tokens).keys()


@pytest.mark.slow
@pytest.mark.parametrize("given", ["regularization", "relative_regularization"])
@pytest.mark.parametrize("in_file", ["regularization", "relative_regularization"])
def test_a_regularization_given_here_replaces_either_of_the_file(
    given: str, in_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, f"[recipe]\n{in_file} = 0.5\nfactors = 9\n")
    found = holds(capsys, "--config", str(path), f"--{given.replace('_', '-')}", "0.25")
    assert found["factors"] == 9
    named = {key: value for key, value in found.items() if key.endswith("regularization")}
    assert named == {given: 0.25}


def test_a_file_as_tune_wrote_it_before_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, '# The best of 3 trials.\nweighting = "log"\nfactors = 96\n')
    found = holds(capsys, "--config", str(path))
    assert (found["weighting"], found["factors"]) == ("log", 96)


def test_a_file_with_two_regularizations_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, "[recipe]\nregularization = 1\nrelative_regularization = 0.5\n")
    assert main(["train", "--config", str(path)]) == 1
    assert "not both" in error_of(capsys)


def test_a_file_may_have_options_of_other_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, "[evaluation]\nrepeats = 3\n[recipe]\nfactors = 3\n")
    assert holds(capsys, "--config", str(path))["factors"] == 3


PASSWORD = "postgresql://u:secret@h/db"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[recipe]\nregularisation = 1",
            "[recipe] has no key 'regularisation'; did you mean 'regularization'?",
        ),
        ("[recipe]\nxyz = 1", "[recipe] has no key 'xyz'; known are preset, seed, "),
        ("[recipe]\ndataset = 'table'", "[recipe] has no key 'dataset'; it belongs in [data]"),
        ("[recpie]\nfactors = 1", "there is no section [recpie]; did you mean [recipe]?"),
        (
            "[als]\nfactors = 1",
            "there is no section [als]; known are [data], [recipe], [evaluation], [engine], "
            "[publish]",
        ),
        ("factor = 3", "there is no option 'factor'; did you mean 'factors'?"),
        ("factors = 3\n[recipe]\nfactors = 4", "factors stands above the sections and in [recipe]"),
        ("data = 3", "data is 3; expected a section, [data]"),
        (
            "[recipe]\nfactors = 'many'",
            "[recipe] factors is 'many'; expected a whole number of at least 0 and at most 4096",
        ),
        ("[recipe]\nfactors = '8'", "[recipe] factors is '8'; expected a whole number"),
        ("[recipe]\nfactors = -1", "[recipe] factors is -1; expected a whole number of at least 0"),
        ("[recipe]\nfactors = true", "[recipe] factors is true; expected a whole number"),
        ("[recipe]\nalpha = nan", "[recipe] alpha is nan; expected a number above 0"),
        ("[recipe]\nalpha = [1]", "[recipe] alpha is [1]; expected a number above 0"),
        ("[recipe.alpha]\nx = 1", "[recipe] alpha is"),
        (
            "[recipe]\nweighting = 'bm26'",
            "[recipe] weighting is 'bm26'; expected one of raw, binary, ",
        ),
        ("[data]\nquoting = 'yes'", "[data] quoting is 'yes'; expected true or false"),
        ("[data]\ndata = ''", "[data] data is ''; expected a path"),
        ("[data]\ndata_until = 2009", "[data] data_until is 2009; expected a time such as"),
        ("[data]\nuser_column = 3", "[data] user_column is 3; expected text in quotation marks"),
        ("[data]\nevents = true", "expected text in quotation marks, or false for none"),
        ("[data]\nevents = 'postgresql://u:***@h/db'", "the password is masked; write it there"),
        (
            "[evaluation]\nk = 900",
            "[evaluation] k is 900; expected a whole number of at least 1 and at most 500",
        ),
        ("[publish]\nforce = 1", "[publish] force is 1; expected true or false"),
        ("[recipe", "is not TOML"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, text + "\n")
    assert main(["train", "--config", str(path)]) == 1
    told = error_of(capsys).replace('"', "'")
    assert told.startswith(f"error: {path}")
    assert message in told
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_a_password_is_in_no_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for key in ("events", "allow_unreadable", "data_until"):
        path = config(tmp_path, f'[data]\n{key} = ["{PASSWORD}"]\n')
        assert main(["train", "--config", str(path)]) == 1
        told = error_of(capsys)
        assert "secret" not in told
        assert "postgresql://u:***@h/db" in told


@pytest.mark.slow
def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (tmp_path / "x.toml", tmp_path):
        assert main(["train", "--config", str(path)]) == 1
        assert str(path) in error_of(capsys)
    assert exit_code("train", "--config", "a", "--config", "b") == 2
