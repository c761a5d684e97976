from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from app.artifacts import writable_folder, writing
from app.artifacts.manifest import read_manifest
from app.artifacts.models_folder import ModelsFolder
from app.artifacts.reading import open_model, read_report, verify_checksums
from app.artifacts.writable_folder import WritableModelsFolder
from app.errors import InvalidArtifact
from app.model.model import Model
from tests.builders import (
    CREATED_AT,
    als_of,
    card_of,
    interactions_of,
    publish_small,
    random_model,
    random_plays,
    small_model,
)
from training.errors import TrainingError, WriteError
from training.publishing.publish import Published, publish
from training.publishing.shrinkage import Shrinkage

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model(np.random.default_rng(11), n_users=6, n_items=5, list_length=2)


def entries(models: Path) -> list[str]:
    """What lies in the models folder, but for the lock."""
    return sorted(path.name for path in models.iterdir() if path.name != ".lock")


# Publishes a model like the fixture's under a time given as seconds, after the lines that
# a test puts in front.
SCRIPT = """
import os, signal, sys
from datetime import timedelta
from pathlib import Path
import numpy as np
from tests.builders import CREATED_AT, publish_small, random_model
from app.artifacts import writable_folder, writing
models, seconds = Path(sys.argv[1]), int(sys.argv[2])
model = random_model(np.random.default_rng(seconds), n_users=6, n_items=5, list_length=2)
{prelude}
print(publish_small(model, models, created_at=CREATED_AT + timedelta(seconds=seconds)))
"""


def start(models: Path, seconds: int, prelude: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(prelude=prelude), str(models), str(seconds)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_version_is_its_time_and_eight_hex_digits(model: Model, tmp_path: Path) -> None:
    version = publish_small(model, tmp_path / "new" / "models")
    assert re.fullmatch(r"20261123T150405Z-[0-9a-f]{8}", version)
    assert entries(tmp_path / "new" / "models") == [version, "current"]
    assert ModelsFolder(tmp_path / "new" / "models").current() == version


def test_the_time_of_a_version_is_utc_whatever_the_zone_given(model: Model, tmp_path: Path) -> None:
    # Was wrong: the local time was written with a Z.
    local = CREATED_AT.astimezone(timezone(timedelta(hours=-8)))
    assert publish_small(model, tmp_path, created_at=local).startswith("20261123T150405Z-")


@pytest.mark.parametrize("name", ["user_factors", "item_factors"])
def test_a_model_of_no_numbers_is_not_published(model: Model, tmp_path: Path, name: str) -> None:
    broken = getattr(model, name).copy()
    broken[0, 0] = np.nan
    with pytest.raises(TrainingError, match="not finite"):
        publish_small(replace(model, **{name: broken}), tmp_path)
    assert entries(tmp_path) == []


def test_without_a_time_it_is_now(model: Model, tmp_path: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    version = publish(model, tmp_path, card=card_of(model)).version
    stamp = datetime.strptime(version[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert before <= stamp <= datetime.now(UTC)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_two_trainings_on_the_same_data_publish_the_same_bytes(
    rng: np.random.Generator, tmp_path: Path, threads: int
) -> None:
    interactions = interactions_of(random_plays(rng, n_users=50, n_items=40))
    folders = []
    for name, count in (("one", 1), ("other", threads)):
        model = small_model(interactions, list_length=5, threads=count)
        folders.append(tmp_path / name / publish_small(model, tmp_path / name))
    one, other = folders
    assert one.name == other.name
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes(), path.name


def test_publishing_the_same_again_is_the_same_version(model: Model, tmp_path: Path) -> None:
    assert publish_small(model, tmp_path) == publish_small(model, tmp_path)
    assert len(ModelsFolder(tmp_path).versions()) == 1


def test_the_newest_publication_is_current_and_the_older_stays(
    model: Model, tmp_path: Path
) -> None:
    old = publish_small(model, tmp_path)
    new = publish_small(model, tmp_path, created_at=CREATED_AT + timedelta(seconds=1))
    assert ModelsFolder(tmp_path).versions() == [old, new]
    assert ModelsFolder(tmp_path).current() == new
    verify_checksums(tmp_path / old)


def test_the_manifest_holds_the_card_and_what_fold_in_needs(model: Model, tmp_path: Path) -> None:
    card = {"dataset": {"name": "d"}, "parameters": {"factors": 8}, "metrics": {"als": 0.2}}
    manifest = read_manifest(tmp_path / publish(model, tmp_path, card=card).version)
    assert manifest["dataset"] == {"name": "d"}
    assert manifest["metrics"] == {"als": 0.2}
    assert manifest["parameters"] == {
        "factors": 8,
        "alpha": als_of(model).alpha,
        "fold_in_regularization": als_of(model).regularization,
    }
    assert manifest["report"] is None
    assert manifest["event_watermark"] is None


def test_a_report_travels_with_the_model(model: Model, tmp_path: Path) -> None:
    page = "<!DOCTYPE html><p>Sigur R\N{LATIN SMALL LETTER O WITH ACUTE}s\r\n"
    folder = tmp_path / publish(model, tmp_path, card=card_of(model), report=page).version
    content = (folder / "report.html").read_bytes()
    assert content == page.encode()  # line ends included
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert read_manifest(folder)["report"] == entry
    assert read_report(folder) == content


def test_another_report_is_another_version(model: Model, tmp_path: Path) -> None:
    versions = {
        publish(model, tmp_path, card=card_of(model), report=report, created_at=CREATED_AT).version
        for report in (None, "<p>one", "<p>two", "<p>two")
    }
    assert sorted(versions) == ModelsFolder(tmp_path).versions()
    assert len(versions) == 3


def test_a_card_cannot_bring_a_report_that_is_not_there(model: Model, tmp_path: Path) -> None:
    card = card_of(model) | {"report": {"bytes": 5, "sha256": "0" * 64}}
    folder = tmp_path / publish(model, tmp_path, card=card).version
    assert read_manifest(folder)["report"] is None


def test_a_card_cannot_overrule_what_the_model_is(model: Model, tmp_path: Path) -> None:
    # Was wrong: publishing an opened model with its own card kept the old time, and a card's
    # alpha was served instead of the one that the model was trained with.
    old = open_model(tmp_path / publish_small(model, tmp_path))
    card = dict(old.card, format_version=9, files={}, parameters={"alpha": 77.0})
    new = publish(old, tmp_path, card=card, created_at=CREATED_AT + timedelta(days=1)).version
    assert new.startswith("20261124T150405Z-")
    again = open_model(tmp_path / new)
    assert als_of(again).parameters() == als_of(model).parameters()
    assert again.card["format_version"] == 1
    assert again.user_factors.tobytes() == model.user_factors.tobytes()


@pytest.mark.parametrize(
    ("metrics", "raised"), [(float("nan"), ValueError), (np.float32(1), TypeError)]
)
def test_a_card_that_is_no_json_publishes_nothing(
    model: Model, tmp_path: Path, metrics: object, raised: type[Exception]
) -> None:
    card = card_of(model) | {"metrics": metrics}
    with pytest.raises(raised):
        publish(model, tmp_path, card=card)
    assert entries(tmp_path) == []


def test_an_exception_in_mid_write_leaves_nothing_and_the_pointer_intact(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = publish_small(model, tmp_path)
    written: list[Path] = []

    def fail(path: Path, content: bytes) -> None:
        written.extend(path.parent.iterdir())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "_write_flushed", fail)
    with pytest.raises(WriteError, match=r"cannot be written: No space left on device.*Make room"):
        publish_small(model, tmp_path, created_at=CREATED_AT + timedelta(days=1))
    assert len(written) > 20  # it was in mid-write
    assert entries(tmp_path) == [old, "current"]
    assert ModelsFolder(tmp_path).current() == old


def test_what_does_not_read_back_is_never_visible(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Was wrong: the version stood in the models folder while it was being verified.
    seen: list[list[str]] = []

    def refuse(folder: Path) -> None:
        seen.append(ModelsFolder(tmp_path).versions())
        raise InvalidArtifact(folder, expected="SHA-256 0", found="SHA-256 1")

    monkeypatch.setattr(writable_folder, "verify_checksums", refuse)
    with pytest.raises(InvalidArtifact, match="SHA-256 0"):
        publish_small(model, tmp_path)
    assert seen == [[]]
    assert entries(tmp_path) == []


@pytest.mark.slow
def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    # The limit on the size of a file stands for the disk: writing fails in the kernel.
    prelude = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))"
    process = start(tmp_path, 0, prelude)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "cannot be written: File too large. Make room" in errors
    assert entries(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["writing._write_flushed", "writable_folder.verify_checksums"])
def test_a_kill_leaves_no_version_and_the_next_publication_sweeps_up(
    model: Model, tmp_path: Path, moment: str
) -> None:
    models = tmp_path / "models"
    old = publish_small(model, models)
    prelude = f"{moment} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"
    process = start(models, 5, prelude)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert entries(models) == [old, "current"]
    assert ModelsFolder(models).current() == old
    assert len(entries(tmp_path)) == 2  # beside the models folder its remains lie
    new = publish_small(model, models, created_at=CREATED_AT + timedelta(days=1))
    assert entries(models) == [old, new, "current"]
    assert entries(tmp_path) == ["models"]


def test_a_models_folder_that_nothing_can_be_moved_into_is_written_in_place(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As where it is a mount point; mounting takes rights that a test may not have.
    monkeypatch.setattr(writable_folder, "_can_move_into", lambda *_: False)
    version = publish_small(model, tmp_path / "models")
    assert entries(tmp_path / "models") == [version, "current"]


def test_a_pointer_that_cannot_be_written_leaves_no_version(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Was wrong: the version stayed, complete, though publishing had failed.
    old = publish_small(model, tmp_path)

    def fail(_folder: WritableModelsFolder, _version: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(WritableModelsFolder, "set_current", fail)
    with pytest.raises(WriteError):
        publish_small(model, tmp_path, created_at=CREATED_AT + timedelta(days=1))
    assert entries(tmp_path) == [old, "current"]


@pytest.mark.slow
def test_two_processes_that_publish_at_once_both_succeed(tmp_path: Path) -> None:
    processes = [start(tmp_path, seconds) for seconds in (1, 2)]
    results = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    versions = sorted(output.strip() for output, _ in results)
    assert ModelsFolder(tmp_path).versions() == versions
    assert ModelsFolder(tmp_path).current() in versions
    assert entries(tmp_path) == [*versions, "current"]
    for version in versions:
        verify_checksums(tmp_path / version)
        open_model(tmp_path / version)


def test_a_folder_that_cannot_be_made_is_named(model: Model, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(WriteError, match=r"models cannot be written: File exists"):
        publish_small(model, tmp_path / "models")
    assert (tmp_path / "models").read_text() == "a file"


def publish_users(
    model: Model, models: Path, users: int, *, name: str = "table", force: bool = False
) -> Published:
    """Publishes a model whose card says how many users it was trained on."""
    card = card_of(model) | {"dataset": {"name": name, "users": users}}
    return publish(model, models, card=card, force=force)


def test_a_model_of_far_less_data_is_published_but_not_made_current(
    model: Model, tmp_path: Path
) -> None:
    # Was wrong: an export that was cut short went live.
    first = publish_users(model, tmp_path, 1000)
    second = publish_users(model, tmp_path, 300)
    assert (first.is_current, first.shrinkage) == (True, None)
    shrunk = Shrinkage(first.version, {"users": (1000, 300)})
    assert second == Published(second.version, is_current=False, shrinkage=shrunk)
    assert ModelsFolder(tmp_path).current() == first.version
    assert set(ModelsFolder(tmp_path).versions()) == {first.version, second.version}
    verify_checksums(tmp_path / second.version)
    assert open_model(tmp_path / second.version).card["publication"] == {
        "made_current": False,
        "force": False,
        "shrinkage": shrunk.to_manifest(),
    }


def test_data_are_held_against_the_current_version_whatever_came_later(
    model: Model, tmp_path: Path
) -> None:
    first = publish_users(model, tmp_path, 1000)
    assert not publish_users(model, tmp_path, 300).is_current
    again = publish_users(model, tmp_path, 299)
    assert again.shrinkage == Shrinkage(first.version, {"users": (1000, 299)})
    assert publish_users(model, tmp_path, 500).is_current
    # Once an operator has made the smaller one current, later models are compared with it.
    WritableModelsFolder(tmp_path).set_current(again.version)
    assert publish_users(model, tmp_path, 150).is_current


def test_force_makes_it_current_and_the_manifest_says_what_was_overridden(
    model: Model, tmp_path: Path
) -> None:
    first = publish_users(model, tmp_path, 1000)
    forced = publish_users(model, tmp_path, 300, force=True)
    assert forced.is_current
    assert ModelsFolder(tmp_path).current() == forced.version
    assert read_manifest(tmp_path / forced.version)["publication"] == {
        "made_current": True,
        "force": True,
        "shrinkage": Shrinkage(first.version, {"users": (1000, 300)}).to_manifest(),
    }


def test_force_overrides_nothing_where_nothing_shrank(model: Model, tmp_path: Path) -> None:
    publish_users(model, tmp_path, 1000)
    forced = publish_users(model, tmp_path, 900, force=True)
    assert forced.shrinkage is None
    assert read_manifest(tmp_path / forced.version)["publication"] == {
        "made_current": True,
        "force": True,
        "shrinkage": None,
    }


def test_other_data_and_the_sample_replace_whatever_there_is(model: Model, tmp_path: Path) -> None:
    for name, users in [("synthetic", 2000), ("synthetic", 20), ("table", 10), ("events", 1)]:
        published = publish_users(model, tmp_path, users, name=name)
        assert ModelsFolder(tmp_path).current() == published.version
        assert published.shrinkage is None


@pytest.mark.parametrize("damage", ["pointer", "folder", "manifest"])
def test_a_current_version_that_cannot_be_read_is_replaced_and_named(
    model: Model, tmp_path: Path, damage: str
) -> None:
    first = publish_users(model, tmp_path, 1000).version
    if damage == "pointer":
        (tmp_path / "current").write_text("nonsense")
    elif damage == "folder":
        (tmp_path / first).rename(tmp_path / "elsewhere")
    else:
        (tmp_path / first / "manifest.json").write_text("{")
    published = publish_users(model, tmp_path, 1)
    assert ModelsFolder(tmp_path).current() == published.version
    assert published.is_current
    assert published.not_compared is not None
    assert str(tmp_path) in published.not_compared


def test_a_card_cannot_say_how_it_was_published(model: Model, tmp_path: Path) -> None:
    card = card_of(model) | {"publication": {"made_current": False}}
    version = publish(model, tmp_path, card=card).version
    publication = read_manifest(tmp_path / version)["publication"]
    assert publication == {"made_current": True, "force": False, "shrinkage": None}
