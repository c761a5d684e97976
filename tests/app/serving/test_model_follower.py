from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from app.artifacts import models_folder
from app.artifacts.models_folder import ModelsFolder
from app.artifacts.reading import verify_checksums
from app.artifacts.writable_folder import WritableModelsFolder
from app.errors import ModelUnavailable
from app.main import create_app
from app.model.model import Model
from app.recommend.ladder import Recommender
from app.recommend.newcomers import Newcomer, Newcomers
from app.recommend.query import Query, Recommendation
from app.serving import set_aside
from app.serving.deaths import DeathRegister, OwnSlot
from app.serving.model_follower import ModelFollower
from app.settings import Settings
from tests.builders import CREATED_AT, card_of, publish_small, random_model
from training.publishing.publish import Published, publish

NEVER = 3600.0
VERIFY_ALL = 2**40


@contextmanager
def following(
    models: Path,
    *,
    poll_seconds: float = 0.01,
    verify_bytes: int = VERIFY_ALL,
    slot: OwnSlot | None = None,
) -> Iterator[ModelFollower]:
    follower = ModelFollower(
        ModelsFolder(models), poll_seconds=poll_seconds, verify_bytes=verify_bytes, slot=slot
    )
    try:
        follower.start()
        yield follower
    finally:
        follower.close()


def eventually(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)


def edit(file: Path) -> None:
    """Changes a file's last byte; size and header stay right."""
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def names_of(model: Model, answer: Recommendation) -> list[str]:
    return [model.item_names[item] for item in answer.items]


@pytest.fixture
def publish_next(model: Model, tmp_path: Path) -> Callable[[], str]:
    """Publishes the model under a new version, without making it current before it is whole."""
    times = iter(range(1000))

    def publish() -> str:
        return publish_small(
            model, tmp_path, created_at=CREATED_AT + timedelta(seconds=next(times))
        )

    return publish


@pytest.fixture
def publish_edited(
    model: Model, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """Makes a version current in which one file has been edited."""

    def publish(file: str) -> str:
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        version = publish_small(model, elsewhere, created_at=CREATED_AT - timedelta(days=1))
        edit(elsewhere / version / file)
        shutil.copytree(elsewhere / version, tmp_path / version)
        WritableModelsFolder(tmp_path).set_current(version)
        return version

    return publish


@pytest.fixture(autouse=True)
def fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_aside, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(set_aside, "LONGEST_RETRY_SECONDS", 0.05)


def test_the_current_version_is_open_when_start_returns(
    tmp_path: Path, publish_next: Callable[[], str]
) -> None:
    version = publish_next()
    with following(tmp_path, poll_seconds=NEVER) as follower:
        assert follower.recommender.model.version == follower.version == version


def test_a_folder_that_comes_later_is_found(model: Model, tmp_path: Path) -> None:
    models = tmp_path / "not" / "yet"
    with following(models) as follower:
        with pytest.raises(ModelUnavailable, match=r"no model is published in .*: run `python -m"):
            _ = follower.recommender
        version = publish_small(model, models)
        eventually(lambda: follower.version == version)


def test_each_new_version_is_followed(tmp_path: Path, publish_next: Callable[[], str]) -> None:
    first = publish_next()
    with following(tmp_path) as follower:
        second = publish_next()
        eventually(lambda: follower.version == second)
        WritableModelsFolder(tmp_path).set_current(first)
        eventually(lambda: follower.version == first)


def test_a_version_that_was_not_made_current_is_not_taken_up(model: Model, tmp_path: Path) -> None:
    def publish_users(users: int) -> Published:
        card = card_of(model) | {"dataset": {"name": "table", "users": users}}
        return publish(model, tmp_path, card=card)

    first = publish_users(100).version
    with following(tmp_path, poll_seconds=NEVER) as follower:
        assert not publish_users(10).is_current
        assert follower.reload() == first
    with following(tmp_path, poll_seconds=NEVER) as follower:
        assert follower.version == first
    (tmp_path / "current").unlink()
    with following(tmp_path, poll_seconds=NEVER) as follower:
        assert follower.version is None


def test_a_request_goes_on_with_the_recommender_it_took(
    tmp_path: Path, publish_next: Callable[[], str]
) -> None:
    first = publish_next()
    with following(tmp_path, poll_seconds=NEVER) as follower:
        pinned = follower.recommender
        before = pinned.recommend(Query("u30", n=500, include_seen=True))
        publish_next()
        follower.reload()
        shutil.rmtree(tmp_path / first)
        after = pinned.recommend(Query("u30", n=500, include_seen=True))
        assert pinned.model.version == first != follower.version
        assert after.items == before.items
        assert after.scores == pytest.approx(before.scores, abs=0, nan_ok=True)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["item_factors.npy", "manifest.json", "user_ids_data.npy"])
def test_an_edited_version_is_refused_once_and_the_old_one_stays(
    tmp_path: Path,
    publish_next: Callable[[], str],
    publish_edited: Callable[[str], str],
    caplog: pytest.LogCaptureFixture,
    file: str,
) -> None:
    caplog.set_level(logging.ERROR)
    good = publish_next()
    with following(tmp_path, poll_seconds=0.001) as follower:
        bad = publish_edited(file)
        eventually(lambda: bool(caplog.records))
        time.sleep(0.2)  # several more looks and retries
        assert follower.version == good
    (record,) = caplog.records
    assert bad in record.getMessage()
    assert f"version {good} stays in service" in record.getMessage()


def test_a_truncated_only_version_leaves_the_service_without_a_model(
    tmp_path: Path, publish_next: Callable[[], str]
) -> None:
    version = publish_next()
    file = tmp_path / version / "top_items.npy"
    file.write_bytes(file.read_bytes()[:-1])
    with (
        following(tmp_path) as follower,
        pytest.raises(ModelUnavailable, match=r"no model is usable: .*top_items\.npy: expected"),
    ):
        _ = follower.recommender


def test_a_missing_version_is_refused_and_taken_once_it_is_there(
    tmp_path: Path, publish_next: Callable[[], str]
) -> None:
    version = publish_next()
    (tmp_path / version).rename(tmp_path / "away")
    with following(tmp_path) as follower:
        assert follower.version is None
        (tmp_path / "away").rename(tmp_path / version)
        eventually(lambda: follower.version == version)


def test_a_good_version_after_a_broken_one_is_taken(
    tmp_path: Path, publish_next: Callable[[], str], publish_edited: Callable[[str], str]
) -> None:
    publish_edited("item_factors.npy")
    with following(tmp_path) as follower:
        assert follower.version is None
        good = publish_next()
        eventually(lambda: follower.version == good)


def test_a_pointer_that_is_not_a_version_is_logged_once(
    tmp_path: Path, publish_next: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    version = publish_next()
    with following(tmp_path, poll_seconds=0.001) as follower:
        (tmp_path / "next").write_bytes(b"\xff" * 10_000)
        (tmp_path / "next").replace(tmp_path / "current")
        eventually(lambda: bool(caplog.records))
        time.sleep(0.1)
        assert len(caplog.records) == 1
        (tmp_path / "current").unlink()
        time.sleep(0.05)
        assert follower.version == version


def test_a_large_version_serves_before_its_checksums_are_compared(
    tmp_path: Path,
    publish_next: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    may_verify = threading.Event()
    monkeypatch.setattr(models_folder, "verify_checksums", lambda _folder, **_: may_verify.wait(20))
    version = publish_next()
    with following(tmp_path, verify_bytes=0) as follower:
        assert follower.version == version
        assert "agree" not in caplog.text
        may_verify.set()
        eventually(lambda: f"checksums of model {version} agree" in caplog.text)
        assert follower.version == version


def test_a_mismatch_found_in_the_background_takes_the_version_out_of_service(
    tmp_path: Path, publish_edited: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    bad = publish_edited("top_scores.npy")
    with following(tmp_path, verify_bytes=0) as follower:
        eventually(lambda: follower.version is None)
        time.sleep(0.2)  # retries must not bring it back
        assert follower.version is None
        with pytest.raises(ModelUnavailable, match=r"top_scores\.npy: expected SHA-256"):
            _ = follower.recommender
    assert [bad in record.getMessage() for record in caplog.records] == [True]


def test_a_large_version_waits_for_its_checksums_while_another_one_serves(
    tmp_path: Path,
    publish_next: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    first = publish_next()
    with following(tmp_path, verify_bytes=0) as follower:
        eventually(lambda: f"checksums of model {first} agree" in caplog.text)
        may_verify = threading.Event()

        def verify_when_told(folder: Path, **options: Any) -> None:
            assert may_verify.wait(20)
            verify_checksums(folder, **options)

        monkeypatch.setattr(models_folder, "verify_checksums", verify_when_told)
        second = publish_next()
        time.sleep(0.1)  # several looks
        assert follower.version == first
        assert follower.troubles == []
        may_verify.set()
        eventually(lambda: follower.version == second)
        assert follower.is_verified


def test_a_damaged_large_version_never_serves_while_there_is_another(
    tmp_path: Path,
    publish_next: Callable[[], str],
    publish_edited: Callable[[str], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It used to serve until its checksums were compared."""
    caplog.set_level(logging.INFO)
    good = publish_next()
    with following(tmp_path, verify_bytes=0) as follower:
        eventually(lambda: f"checksums of model {good} agree" in caplog.text)
        recommender = follower.recommender
        vector = recommender.model.user_factors[0]
        found = Newcomers.of(recommender.model, [Newcomer("new", "New", vector)])
        follower.in_service.update(recommender, lambda situation: situation.with_newcomers(found))
        bad = publish_edited("top_scores.npy")
        eventually(lambda: f"model {bad} is not usable" in caplog.text)
        with pytest.raises(ModelUnavailable, match=f"Version {good} stays in service"):
            follower.reload()
        assert follower.version == good
        assert follower.recommender.newcomers is found
        assert f"serving model {bad}" not in caplog.text


def test_a_damaged_current_version_gives_way_to_the_newest_usable_one_before_it(
    tmp_path: Path, publish_next: Callable[[], str]
) -> None:
    """All was 503 although a good version lay in the folder."""
    oldest, older, damaged, current = (publish_next() for _ in range(4))
    for version in (damaged, current):
        edit(tmp_path / version / "top_items.npy")
    later = publish_next()
    WritableModelsFolder(tmp_path).set_current(current)
    for verify_bytes in (VERIFY_ALL, 0):
        with following(tmp_path, verify_bytes=verify_bytes) as follower:
            eventually(lambda: follower.version == older and follower.is_verified)
            (trouble,) = follower.troubles
            assert trouble.startswith(str(tmp_path / current / "top_items.npy"))
            assert trouble.endswith(f"Version {older} serves.")
            assert follower.wanted == current
    shutil.rmtree(tmp_path / older)
    shutil.rmtree(tmp_path / oldest)
    with following(tmp_path) as follower:
        assert follower.version == later
        edit(tmp_path / current / "top_items.npy")  # mended
        eventually(lambda: follower.version == current)
        assert follower.troubles == []


def test_a_version_that_was_held_back_takes_no_damaged_ones_place(
    model: Model, tmp_path: Path
) -> None:
    card = card_of(model) | {"dataset": {"name": "table", "users": 100}}
    current = publish(model, tmp_path, card=card).version
    card = card_of(model) | {"dataset": {"name": "table", "users": 10}}
    assert not publish(model, tmp_path, card=card).is_current
    edit(tmp_path / current / "top_items.npy")
    with following(tmp_path, poll_seconds=NEVER) as follower:
        assert follower.version is None


@pytest.mark.parametrize("content", [b"garbage", b"", b"20261123T150405Z-00000000"])
def test_a_service_that_starts_with_a_damaged_pointer_serves_the_newest_version(
    tmp_path: Path, publish_next: Callable[[], str], content: bytes
) -> None:
    publish_next()
    version = publish_next()
    (tmp_path / "current").write_bytes(content)
    with following(tmp_path, poll_seconds=NEVER) as follower:
        assert follower.version == version
        assert len(follower.troubles) == 1


def test_a_file_that_became_shorter_takes_its_version_out_of_service(
    tmp_path: Path, publish_next: Callable[[], str]
) -> None:
    good, served = publish_next(), publish_next()
    with following(tmp_path) as follower:
        assert follower.version == served
        file = tmp_path / served / "user_factors.npy"
        content = file.read_bytes()
        os.truncate(file, 100)
        eventually(lambda: follower.version == good)
        assert any("became shorter while it was in service" in one for one in follower.troubles)
        with file.open("r+b") as again:
            again.write(content)
        eventually(lambda: follower.version == served)


@pytest.mark.parametrize("verify_bytes", [VERIFY_ALL, 0])
@pytest.mark.parametrize("told", [False, True])
def test_a_file_that_was_overwritten_in_place_takes_its_version_out_of_service(
    tmp_path: Path, publish_next: Callable[[], str], verify_bytes: int, told: bool
) -> None:
    """A reload compared nothing, since the version was the same."""
    good, served = publish_next(), publish_next()
    poll_seconds = NEVER if told else 0.01
    with following(tmp_path, poll_seconds=poll_seconds, verify_bytes=verify_bytes) as follower:
        eventually(lambda: follower.version == served and follower.is_verified)
        with (tmp_path / served / "top_scores.npy").open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\x7f")
        if told:
            with pytest.raises(ModelUnavailable, match=f"SHA-256.*Version {good} stays"):
                follower.reload()
        eventually(lambda: follower.version == good)


def test_a_version_in_service_stays_when_its_files_are_touched(
    tmp_path: Path, publish_next: Callable[[], str]
) -> None:
    publish_next()
    served = publish_next()
    with following(tmp_path) as follower:
        recommender = follower.recommender
        (tmp_path / served / "top_scores.npy").touch()
        time.sleep(0.1)  # several looks
        assert follower.recommender is recommender
        assert follower.troubles == []


def test_a_version_in_service_stays_when_its_files_are_removed(
    tmp_path: Path, publish_next: Callable[[], str]
) -> None:
    publish_next()
    served = publish_next()
    with following(tmp_path) as follower:
        recommender = follower.recommender
        shutil.rmtree(tmp_path / served)
        time.sleep(0.1)  # several looks
        assert follower.recommender is recommender
        with pytest.raises(ModelUnavailable, match=f"No such file.*Version {served} stays"):
            follower.reload()
        assert follower.recommender is recommender
        assert follower.troubles[0].endswith(f"Version {served} serves.")


def test_a_version_that_ends_workers_is_doubted_and_at_last_set_aside(
    tmp_path: Path, publish_next: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    register = DeathRegister()
    own, other = OwnSlot(register, 0), 1
    good, deadly = publish_next(), publish_next()
    try:
        with following(tmp_path, verify_bytes=0, slot=own) as follower:
            eventually(lambda: follower.version == deadly and follower.is_verified)
            for number in range(1, 4):
                register.note(other, opening=None, serving=deadly)
                assert register.record("SIGBUS", other) == deadly
                if number < 3:  # it is verified again and stays, since its files are as published
                    eventually(lambda: caplog.text.count(f"model {deadly} agree") > number)  # noqa: B023
                    assert follower.version == deadly
            eventually(lambda: follower.version == good)
            assert "has ended 3 workers" in follower.troubles[0]
            assert follower.reload() == deadly  # whoever asks for it again gets it
        register.note(other, opening=deadly, serving=good)
        register.record("SIGKILL", other)  # nothing that a version could help
        assert not register.deaths().is_deadly(good)
        with following(tmp_path, poll_seconds=NEVER, slot=own) as follower:
            assert follower.version == good
    finally:
        register.close()


def test_close_may_be_called_twice_and_lets_the_model_go(
    tmp_path: Path, publish_next: Callable[[], str]
) -> None:
    publish_next()
    with following(tmp_path) as follower:
        follower.close()
        assert follower.version is None


@pytest.mark.slow
def test_a_request_answers_from_one_model_while_versions_change(
    model: Model, rng: np.random.Generator, tmp_path: Path
) -> None:
    models = [model, random_model(rng, n_users=40, list_length=10)]
    versions = [publish_small(one, tmp_path) for one in models]
    lists = {
        version: names_of(one, Recommender(one).recommend(Query("u30", n=40)))
        for version, one in zip(versions, models, strict=True)
    }
    seen = set()
    settings = Settings(models=tmp_path, poll_seconds=0.001)
    with TestClient(create_app(settings)) as client:
        for turn in range(20):
            WritableModelsFolder(tmp_path).set_current(versions[turn % 2])
            for _ in range(10):
                answer = client.get("/recommend/u30?n=40").json()
                names = [item["name"] for item in answer["items"]]
                assert names == lists[answer["model_version"]]
                seen.add(answer["model_version"])
    assert seen == set(versions)


@pytest.mark.slow
def test_opening_and_closing_many_times_leaks_nothing(
    tmp_path: Path, publish_next: Callable[[], str]
) -> None:
    publish_next()
    app = create_app(Settings(models=tmp_path, verify_bytes=0))

    def open_and_close() -> None:
        with TestClient(app) as client:
            assert client.get("/recommend/u30?include_seen=true").status_code == 200

    def held() -> tuple[int, int, int]:
        maps = Path("/proc/self/maps")
        return (
            threading.active_count(),
            len(list(Path("/proc/self/fd").iterdir())),
            maps.read_text().count(str(tmp_path)),
        )

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("counts descriptors in /proc")
    open_and_close()
    before = held()
    for _ in range(12):
        open_and_close()
    eventually(lambda: all(now <= then for now, then in zip(held(), before, strict=True)))
    assert held()[2] == 0
