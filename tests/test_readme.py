"""What the documentation tells people to type, open and call, held against what there is."""

from __future__ import annotations

import json
import re
import shlex
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from rich.console import Console
from starlette.routing import Match
from starlette.testclient import TestClient

from app.__main__ import main as run_service
from app.__main__ import shown_default
from app.main import create_app
from app.settings import Settings, variable
from training.cli import cli
from training.cli.data import generate
from training.cli.options import SourceOptions
from training.cli.train import train

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "models/README.md"])
ABOUT_TRAINING = (
    "artifact",
    "datasets",
    "design",
    "evaluation",
    "events",
    "model",
    "python",
    "search",
    "synthetic",
)
ASSIGNMENT = re.compile(r"[A-Z_]+=.*")


def commands(program: str) -> list[list[str]]:
    """The arguments of each call of a program in the ``sh`` blocks of all pages."""
    found = []
    for page in PAGES:
        for block in re.findall(
            r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S
        ):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                for start in range(len(words)):
                    if words[start : start + len(program.split())] == program.split():
                        found.append(words[start + len(program.split()) :])
    return found


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"^([A-Z_]+) \?=", makefile, re.MULTILINE))
    called = [word for words in commands("make") for word in words]
    assert {"serve", "test"} <= set(called)
    assert {word for word in called if not ASSIGNMENT.match(word)} <= targets
    assert {word.split("=")[0] for word in called if ASSIGNMENT.match(word)} <= variables


def test_the_readme_names_the_packages_that_a_bare_machine_lacks() -> None:
    # Was wrong: only CI knew them.
    runner = (ROOT / ".ci/run").read_text(encoding="utf-8")
    packages = re.findall(r"missing\+=\(([a-z0-9-]+)\)", runner)
    assert {"libgomp1", "postgresql"} <= set(packages)
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## ")[0]
    assert [name for name in packages if not re.search(rf"\b{name}\b", readme)] == []


@pytest.mark.parametrize("arguments", commands("python -m training"), ids=" ".join)
def test_training_commands_are_understood(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("best.toml").touch()  # the file of options that some of them read
    cli.parse_args(arguments, exit_on_error=False, print_error=False)


_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")


@pytest.mark.slow
def test_options_that_the_pages_about_training_name_exist() -> None:
    # Was wrong: docs/datasets.md went on naming an option that had been taken away.
    known = set()
    commands = (
        "train",
        "evaluate",
        "tune",
        "report",
        "generate",
        "export",
        "models verify",
        "models prune",
    )
    for words in map(str.split, commands):
        known |= set(re.findall(r"--[a-z0-9-]+", help_of(words)))
    for page in ABOUT_TRAINING:
        text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
        for module, rest in re.findall(r"python -m benchmarks\.(\w+)(.*)", text):
            source = (ROOT / "benchmarks" / f"{module}.py").read_text(encoding="utf-8")
            missing = [one for one in _OPTION.findall(rest) if f'"{one}"' not in source]
            assert missing == [], (page, module)
        text = re.sub(r"python -m benchmarks\..*", "", text)
        assert set(_OPTION.findall(text)) - known == set(), page


def help_of(words: list[str]) -> str:
    """The page of help of a command, wide enough that no option is broken."""
    console = Console(file=StringIO(), width=200)
    cli.help_print(words, console=console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_options_handed_through_make_are_understood() -> None:
    handed = [word[5:] for words in commands("make") for word in words if word.startswith("ARGS=")]
    assert handed
    for options in handed:
        arguments = ["train", *shlex.split(options)]
        cli.parse_args(arguments, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("arguments", commands("python -m app"), ids=" ".join)
def test_service_commands_are_understood(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--help" in arguments, "this test starts no service"
    with pytest.raises(SystemExit, match="0"):
        run_service(arguments)
    assert "ENCORE_PORT" in capsys.readouterr().out


def test_calls_exist() -> None:
    app = create_app(Settings())
    calls = [
        ("POST" if "-d" in words else "GET", word)
        for words in commands("curl")
        for word in words
        if word.startswith("http")
    ]
    assert {method for method, _ in calls} == {"GET", "POST"}
    for method, url in calls:
        scope = {"type": "http", "method": method, "path": urlsplit(url).path}
        assert any(route.matches(scope)[0] is Match.FULL for route in app.routes), url


@pytest.mark.slow
def test_answer_is_the_one_that_make_serve_gives(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = re.search(r"<!-- answer.*?localhost:8000(\S+)'.*?```json\n(.*?)```", readme, re.S)
    assert example is not None
    shown = json.loads(example[2])

    generate(out=tmp_path / "data")
    source = SourceOptions(dataset="synthetic", data=tmp_path / "data")
    train(source=source, models=tmp_path / "models", evaluation=False)
    with TestClient(create_app(Settings(models=tmp_path / "models"))) as client:
        answer = client.get(example[1]).raise_for_status().json()

    del shown["model_version"]  # tells the time
    del answer["model_version"]
    for item in shown["items"]:
        item["score"] = pytest.approx(item["score"], rel=1e-2)
    assert answer == shown, f"the true answer is {json.dumps(answer, ensure_ascii=False)}"


def test_settings_table_is_true() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(ENCORE_\w+)` \| `?([\w./:]+)`? \|", readme, re.MULTILINE)
    fields = {variable(name): info for name, info in Settings.model_fields.items()}
    assert len(rows) >= 7
    for name, default in rows:
        assert default == shown_default(fields[name])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def anchors(page: Path) -> set[str]:
    """The anchors that headings get where Markdown is rendered."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}
