"""What is shipped: locks, the wheel, the Makefile, and what no file of the project may say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from ast import Import, ImportFrom, parse, walk
from collections.abc import Iterator
from email import message_from_bytes
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import httpx2
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app import __version__
from hatch_build import renamed

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
OURS = {"app", "training", "tests", "benchmarks", "encore", "hatch_build"}
LOCKS = ("serve", "postgres", "training", "spark", "dev")


def declared() -> dict[str, list[Requirement]]:
    """What pyproject asks for, by the lock that has to hold it."""
    serve = PROJECT["project"]["dependencies"]
    training = serve + PROJECT["project"]["optional-dependencies"]["training"]
    extras = PROJECT["project"]["optional-dependencies"]
    postgres = serve + extras["postgres"]
    spark = training + extras["spark"]
    dev = training + extras["postgres"] + PROJECT["dependency-groups"]["dev"]
    lines = dict(zip(LOCKS, (serve, postgres, training, spark, dev), strict=True))
    return {lock: [Requirement(line) for line in wanted] for lock, wanted in lines.items()}


def pins(lock: str) -> dict[str, tuple[str, int]]:
    """The version of each package in a lock, and how many hashes it has."""
    text = (ROOT / f"requirements/{lock}.txt").read_text(encoding="utf-8")
    text = re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, tuple[str, int]] = {}
    for line in text.splitlines():
        requirement = Requirement(line.split(" --hash=")[0])
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", line
        found[canonicalize_name(requirement.name)] = (
            specifier.version,
            line.count("--hash=sha256:"),
        )
    return found


def project_files() -> list[Path]:
    """The files of the project, whether committed yet or not."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    paths = (ROOT / name.decode() for name in listed.stdout.split(b"\0") if name)
    return sorted(path for path in paths if path.is_file())


class TestLocks:
    @pytest.mark.parametrize("lock", LOCKS)
    def test_hold_what_pyproject_asks_for(self, lock: str) -> None:
        pinned = pins(lock)
        for requirement in declared()[lock]:
            name = canonicalize_name(requirement.name)
            assert name in pinned, f"{requirement} is not in {lock}.txt; run `make lock`"
            version, _ = pinned[name]
            assert version in requirement.specifier, f"{lock}.txt pins {name} {version}"

    @pytest.mark.parametrize("lock", LOCKS)
    def test_pin_every_package_with_a_hash(self, lock: str) -> None:
        assert [name for name, (_, hashes) in pins(lock).items() if not hashes] == []

    def test_name_the_extras_that_packages_ask_for(self) -> None:
        # Was wrong: pip took "coverage[toml]" for another requirement than the pinned "coverage",
        # and refused to install once a newer coverage was out.
        text = (ROOT / "requirements/dev.txt").read_text(encoding="utf-8")
        lines = re.findall(r"^([\w.-]+)(?:\[([\w,]+)\])?==", text, flags=re.MULTILINE)
        locked = {canonicalize_name(name): set(extras.split(",")) for name, extras in lines}
        for name in locked:
            try:
                wanted = [Requirement(line) for line in requires(name) or []]
            except PackageNotFoundError:
                continue  # for another system
            for one in wanted:
                if one.extras and (one.marker is None or one.marker.evaluate({"extra": ""})):
                    assert one.extras <= locked[canonicalize_name(one.name)], f"{name}: {one}"

    def test_agree_with_each_other(self) -> None:
        serve, postgres, training, spark, dev = (pins(lock) for lock in LOCKS)
        assert serve.items() < training.items() < dev.items()
        assert serve.items() < postgres.items() < dev.items()
        assert training.items() < spark.items()
        # The one package without a wheel is the one that the fast tests go without.
        assert {"pyspark", "py4j", "pyarrow"} == spark.keys() - dev.keys()

    def test_serving_goes_without_what_only_training_needs(self) -> None:
        assert not pins("serve").keys() & {"implicit", "polars", "scipy", "joblib", "pyspark"}


# The store in PostgreSQL, and the connection that it alone uses.
POSTGRESQL = {"bounded.py", "postgres.py"}


class TestDependencies:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("package", "lock"),
        [("app", "serve"), ("training", "training"), ("tests", "dev"), ("benchmarks", "dev")],
    )
    def test_are_declared_where_they_are_imported(self, package: str, lock: str) -> None:
        distributions = packages_distributions()
        wanted = {canonicalize_name(requirement.name) for requirement in declared()[lock]}
        drivers = {ROOT / "app/store" / name for name in POSTGRESQL}
        of_spark = {
            *(ROOT / "training/engines/spark").glob("*.py"),
            *(ROOT / "benchmarks").glob("spark*"),
        }
        for path in sorted({*(ROOT / package).rglob("*.py")} - drivers - of_spark):
            # "compression" is of Python 3.14.
            for module in imported(path) - sys.stdlib_module_names - OURS - {"compression"}:
                names = {canonicalize_name(name) for name in distributions.get(module, [])}
                assert names & wanted, f"{path.relative_to(ROOT)} imports {module}"

    def test_spark_is_imported_by_its_engine_alone(self) -> None:
        folders = [ROOT / "app", ROOT / "training"]
        paths = [path for folder in folders for path in folder.rglob("*.py")]
        spark = [path for path in paths if imported(path) & {"pyspark", "pyarrow"}]
        assert {path.parent for path in spark} == {ROOT / "training/engines/spark"}
        # Where it is used, since the command line goes without it.
        for path in spark:
            at_the_top = [
                line for line in path.read_text().splitlines() if line.startswith("import")
            ]
            assert not modules_of("\n".join(at_the_top)) & {"pyspark", "pyarrow"}

    def test_the_driver_of_postgresql_is_imported_by_the_store_in_it_alone(self) -> None:
        sources = sorted((ROOT / "app").rglob("*.py"))
        assert {path.name for path in sources if "psycopg" in imported(path)} == POSTGRESQL
        bounded = "from app.store.bounded import"
        assert {path.name for path in sources if bounded in path.read_text()} == {"postgres.py"}
        assert {"psycopg", "psycopg-pool"} <= pins("postgres").keys() - pins("serve").keys()


def imported(path: Path) -> set[str]:
    """The top-level modules that a file imports, wherever in it."""
    return modules_of(path.read_text(encoding="utf-8"))


def modules_of(source: str) -> set[str]:
    """The top-level modules that a module imports, wherever in it."""
    modules = set()
    for node in walk(parse(source)):
        if isinstance(node, Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ImportFrom) and node.module and not node.level:
            modules.add(node.module.partition(".")[0])
    return modules


class TestFiles:
    def test_name_no_registry_and_no_folder_of_one_machine(self) -> None:
        # Joined here, so that this file is not what it finds.
        forbidden = [
            "pypi" + ".org",
            "files.python" + "hosted",
            "registry." + "npmjs",
            "crates" + ".io",
            "proxy.golang" + ".org",
            "repo1." + "maven",
            "deb." + "debian.org",
            "/" + "work/",
        ]
        pattern = re.compile("|".join(map(re.escape, forbidden)).encode())
        found = [
            f"{path.relative_to(ROOT)}: {match[0].decode()}"
            for path in project_files()
            if (match := pattern.search(path.read_bytes()))
        ]
        assert found == []

    def test_ignored_are_only_results_and_caches(self) -> None:
        """A pattern for data at the top once could have hidden a package's own files."""
        tracked = ["app/data/x.py", "training/data/x.py", "tests/golden/x.db", "models/README.md"]
        ignored_paths = [
            "data/x.tsv",
            "models/current",
            "models/v/manifest.json",
            "encore.db",
            ".venv/x",
        ]
        ignored = subprocess.run(
            ["git", "check-ignore", "--no-index", *tracked, *ignored_paths],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ignored.stdout.split() == ignored_paths

    def test_licence_is_mit(self) -> None:
        text = (ROOT / "LICENSE").read_text(encoding="utf-8")
        assert text.startswith("MIT License")
        assert "The Encore authors" in text


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


class TestWheel:
    def test_holds_one_package_and_nothing_else(self, wheel: zipfile.ZipFile) -> None:
        # Was wrong: packages called app and training met those of others.
        info = f"encore_recommender-{__version__}.dist-info"
        names = set(wheel.namelist())
        assert {name.partition("/")[0] for name in names} == {"encore", info}
        assert {"encore/py.typed", f"{info}/licenses/LICENSE"} <= names

    def test_holds_every_file_of_the_packages(self, wheel: zipfile.ZipFile) -> None:
        files = {path.relative_to(ROOT).as_posix() for path in project_files()}
        shipped = {f"encore/{name}" for name in files if name.startswith(("app/", "training/"))}
        shipped |= {"encore/__init__.py", "encore/py.typed"}
        assert shipped == {name for name in wheel.namelist() if "dist-info" not in name}

    @pytest.mark.slow
    def test_imports_itself_by_its_own_name(self, wheel: zipfile.ZipFile) -> None:
        # Names that a program looks up at run time, and commands that messages name, as well.
        old = re.compile(r"""["'](?:app|training)(?:\.\w+)+(?::\w+)?["']|-m (?:app|training)\b""")
        for name in wheel.namelist():
            if name.endswith(".py"):
                source = wheel.read(name).decode()
                assert not modules_of(source) & {"app", "training"}, name
                assert old.findall(source) == [], name

    def test_says_what_it_is(self, wheel: zipfile.ZipFile) -> None:
        metadata = message_from_bytes(
            wheel.read(f"encore_recommender-{__version__}.dist-info/METADATA")
        )
        assert metadata["Name"] == "encore-recommender"
        assert metadata["Version"] == __version__
        assert metadata["Requires-Python"] == ">=3.11"
        assert metadata["License-Expression"] == "MIT"
        assert sorted(metadata.get_all("Provides-Extra") or []) == ["postgres", "spark", "training"]
        assert "make serve" in str(metadata.get_payload())


class TestImportNames:
    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("from app import x", "from encore.app import x"),
            (
                "from training.a.b import (\n    x,\n)",
                "from encore.training.a.b import (\n    x,\n)",
            ),
            ("import app.errors as errors", "import encore.app.errors as errors"),
            ("import os, training.a as a", "import os, encore.training.a as a"),
            (
                "def f():\n    from app.x import y  # app.x",
                "def f():\n    from encore.app.x import y  # app.x",
            ),
            ('"run `python -m app`"', '"run `python -m encore.app`"'),
            ("'from app import x'", "'from app import x'"),
            ("from application import app", "from application import app"),
            ("from . import app", "from . import app"),
            ("import apps, training_x", "import apps, training_x"),
        ],
    )
    def test_are_changed_where_they_are_imported(self, source: str, expected: str) -> None:
        assert renamed(source) == expected

    @pytest.mark.parametrize("source", ["import app", "import app.errors", "import os, training"])
    def test_that_would_be_bound_are_refused(self, source: str) -> None:
        with pytest.raises(ValueError, match="line 1: write `from … import …` instead"):
            renamed(source)


class TestMakefile:
    def test_old_python_is_refused_with_what_to_do(self, tmp_path: Path) -> None:
        old = tmp_path / "python3.9"
        old.write_text(
            '#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit\nexit 1\n',
            encoding="utf-8",
        )
        old.chmod(0o755)
        made = make("serve", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}")
        assert made.returncode == 2
        assert f"needs Python 3.11 or newer, and {old} is Python 3.9.2" in made.stderr
        assert not (tmp_path / "venv").exists()

    def test_missing_python_is_named(self, tmp_path: Path) -> None:
        made = make("serve", "PYTHON=no-such-python", f"VENV={tmp_path / 'venv'}")
        assert made.returncode == 2
        assert "no-such-python is not installed" in made.stderr

    def test_help_lists_the_two_commands(self) -> None:
        made = make("help")
        assert "make serve" in made.stdout
        assert "make test" in made.stdout

    @pytest.mark.parametrize("plays_are_there", [True, False])
    def test_a_sample_that_was_begun_and_not_finished_is_made_again(
        self, tmp_path: Path, plays_are_there: bool
    ) -> None:
        # Was wrong: an empty data/synthetic made every later `make serve` fail.
        sample = tmp_path / "data" / "synthetic"
        sample.mkdir(parents=True)
        if plays_are_there:
            (sample / "usersha1-artmbid-artname-plays.tsv").touch()
        called = [command[2] for command in commands_of("train", folder=tmp_path)]
        assert called == (["train"] if plays_are_there else ["generate", "train"])

    @pytest.mark.parametrize(
        ("variables", "source"),
        [
            ([], ["synthetic", "--data", "data/synthetic"]),
            (["DATASET=", "DATA="], ["synthetic", "--data", "data/synthetic"]),
            (["DATASET=synthetic"], ["synthetic", "--data", "data/synthetic"]),
            (["DATASET=synthetic", "DATA=other"], ["synthetic", "--data", "other"]),
            (["DATASET=lastfm-360k"], ["lastfm-360k"]),
            (["DATASET=lastfm-360k", "DATA=a/b"], ["lastfm-360k", "--data", "a/b"]),
            (["DATA=x.csv"], ["table", "--data", "x.csv"]),
            (["DATA=my own plays.csv"], ["table", "--data", "my own plays.csv"]),
            (["DATASET=table", "DATA=x.csv"], ["table", "--data", "x.csv"]),
        ],
        ids=" ".join,
    )
    def test_train_takes_the_sample_only_where_nothing_else_is_named(
        self, tmp_path: Path, variables: list[str], source: list[str]
    ) -> None:
        # Was wrong: DATA was the sample whatever DATASET said, which was then published as real.
        (tmp_path / "data" / "synthetic").mkdir(parents=True)
        (tmp_path / "data" / "synthetic" / "usersha1-artmbid-artname-plays.tsv").touch()
        (command,) = commands_of("train", *variables, folder=tmp_path)
        assert command[2:] == ["train", "--dataset", *source, "--models", "models"]

    @pytest.mark.parametrize("variables", [[], ["DATASET=lastfm-360k", "DATA=x", "ARGS=--seed 1"]])
    def test_serve_trains_on_the_sample_first_whatever_else_is_said(
        self, tmp_path: Path, variables: list[str]
    ) -> None:
        called = [command[1:] for command in commands_of("serve", *variables, folder=tmp_path)]
        size = ["--users", "2000", "--artists", "3000"]
        source = ["--dataset", "synthetic", "--data", "data/synthetic"]
        assert called == [
            ["training", "generate", *size, "--out", "data/synthetic"],
            ["training", "train", *source, "--models", "models", "--no-events"],
            ["app"],
        ]

    def test_train_hands_more_options_through(self, tmp_path: Path) -> None:
        more = ["DATA=x.csv", "ARGS=--user-column 'the user' --force"]
        (command,) = commands_of("train", *more, folder=tmp_path)
        assert command[-3:] == ["--user-column", "the user", "--force"]


def commands_of(*arguments: str, folder: Path) -> list[list[str]]:
    """The arguments of each Python that make runs, in a copy whose environment writes them down."""
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    tools = folder / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name in ("python", "pip"):
        (tools / name).write_text('#!/bin/sh\nprintf "%s\\t" "$@" >> called; echo >> called\n')
        (tools / name).chmod(0o755)
    (folder / ".venv" / ".training-installed").touch()
    made = make(*arguments, folder=folder)
    assert made.returncode == 0, made.stderr
    lines = (folder / "called").read_text(encoding="utf-8").splitlines()
    return [line.split("\t")[:-1] for line in lines]


@pytest.mark.parametrize("tests_fail", [False, True])
def test_ci_runs_the_fast_tests_on_each_newer_python_that_works(
    tmp_path: Path, tests_fail: bool
) -> None:
    tools, installed = tmp_path / "bin", tmp_path / "versions/3.13.7/bin"
    tools.mkdir()
    installed.mkdir(parents=True)
    scripts = {
        tools / "python3": 'case "$*" in *version_info*) echo 11;; esac',
        tools / "python3.12": "echo 3.12",
        # What pyenv has for a version that is not chosen.
        tools / "python3.13": "exit 127",
        installed / "python3.13": "echo 3.13",
        tools / "python3.14": "echo 3.14",
        tools / "pyenv": f"echo {tmp_path}",
        tools / "apt-get": "exit 0",
        tools / "make": f"""
            case "$*" in
                *.venv-3.14/*) echo "ERROR: No matching distribution found for numpy"; exit 2;;
                *3.13*fast) echo ran; exit {int(tests_fail)};;
                *) echo "$@" >> {tmp_path}/called;;
            esac""",
    }
    for path, script in scripts.items():
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
    environment = {"PATH": f"{tools}:/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(
        [ROOT / ".ci/run"], env=environment, capture_output=True, text=True, check=False
    )
    at_12, at_13 = (f"PYTHON={folder}/python3.{n}" for folder, n in ((tools, 12), (installed, 13)))
    called = (tmp_path / "called").read_text().splitlines()
    assert done.returncode == int(tests_fail), done.stderr
    assert called == [
        "lint",
        f"{at_12} VENV=.venv-3.12 .venv-3.12/.dev-installed",
        f"{at_12} VENV=.venv-3.12 fast",
        f"{at_13} VENV=.venv-3.13 .venv-3.13/.dev-installed",
        *([] if tests_fail else ["test"]),
    ]
    shown = done.stdout.splitlines()
    assert shown[:3] == [
        f"encore: the fast tests on Python 3.12 ({tools}/python3.12)",
        f"encore: the fast tests on Python 3.13 ({installed}/python3.13)",
        "ran",
    ]
    passed_over = [
        "encore: Python 3.14 is skipped, since no environment can be made: "
        "ERROR: No matching distribution found for numpy"
    ]
    assert shown[3:] == ([] if tests_fail else passed_over)


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    # What the make that runs these tests was told is not for this one.
    ours = {"DATASET", "DATA", "ARGS", "ENCORE_MODELS", "PYTHON", "VENV"}
    environment = {
        name: value for name, value in os.environ.items() if "MAKE" not in name and name not in ours
    }
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_service_runs_from_the_base_lock_alone(tmp_path: Path) -> None:
    """The steps of the image ``serve``, in a fresh environment and a folder with ``app`` only."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv/bin/python")
    lock = str(ROOT / "requirements/serve.txt")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "--only-binary=:all:", "-r", lock], check=True)
    home = tmp_path / "srv"
    shutil.copytree(ROOT / "app", home / "app", ignore=shutil.ignore_patterns("__pycache__"))

    absent = ["implicit", "scipy", "polars", "pyspark", "training", "pytest"]
    look = f"import importlib.util as u; print([n for n in {absent} if u.find_spec(n)])"
    found = subprocess.run(
        [python, "-c", look], cwd=home, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"

    with subprocess.Popen(
        [python, "-m", "app"],
        cwd=home,
        env={"ENCORE_PORT": "0"},
        stdout=subprocess.PIPE,
        text=True,
    ) as service:
        assert service.stdout is not None
        try:
            url = re.search(r"http://[\d.:]+", service.stdout.readline())
            assert url is not None
            assert httpx2.get(f"{url[0]}/health/live", timeout=30).status_code == 200
            event = {"user_id": "u", "artist_id": "a"}
            told = httpx2.post(f"{url[0]}/events", json={"events": [event]}, timeout=30)
            assert told.json()["stored"] == 1
        finally:
            service.terminate()
    assert service.returncode == 0
