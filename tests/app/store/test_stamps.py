from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest

from app.errors import StoreUnavailable
from app.store.stamps import Stamps, stamp_key

ROOT = Path(__file__).parents[3]


@pytest.fixture
def place(tmp_path: Path) -> str:
    return f"test {tmp_path}"


@pytest.fixture
def stamps(place: str) -> Iterator[Stamps]:
    stamps = Stamps(place)
    yield stamps
    stamps.close()


def test_no_user_has_a_stamp_at_first(stamps: Stamps) -> None:
    assert [stamps.of(user) for user in ("u", "", "🎸", "nul\0")] == [0, 0, 0, 0]


def test_a_stamp_is_the_latest_number_and_never_goes_back(stamps: Stamps) -> None:
    stamps.raise_to([("u", 5), ("v", 7), ("u", 6)])
    stamps.raise_to([("u", 3)])
    assert (stamps.of("u"), stamps.of("v"), stamps.of("w")) == (6, 7, 0)


@pytest.mark.slow
def test_users_of_one_slot_share_a_stamp(stamps: Stamps) -> None:
    slot = crc32(b"u") % 2**20
    twin = next(
        str(number) for number in range(10**8) if crc32(str(number).encode()) % 2**20 == slot
    )
    stamps.raise_to([("u", 5)])
    assert stamps.of(twin) == 5


def test_all_that_use_a_place_see_the_same(stamps: Stamps, place: str) -> None:
    other, elsewhere = Stamps(place), Stamps(f"{place} and another")
    other.raise_to([("u", 5)])
    assert (stamps.of("u"), elsewhere.of("u")) == (5, 0)
    for one in (other, elsewhere):
        one.close()


def test_availability_has_a_version_that_never_goes_back(stamps: Stamps, place: str) -> None:
    assert stamps.availability[0] == 0
    other = Stamps(place)
    other.raise_availability(3)
    other.raise_availability(2)
    assert stamps.availability[0] == 3
    other.close()


def test_another_process_sees_the_same(stamps: Stamps, place: str) -> None:
    code = (
        "import sys; from app.store.stamps import Stamps; stamps = Stamps(sys.argv[1]); "
        "print(stamps.of('u')); stamps.raise_to([('v', 8)])"
    )
    stamps.raise_to([("u", 5)])
    done = subprocess.run(
        [sys.executable, "-c", code, place], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["5"]
    assert stamps.of("v") == 8


def test_catching_up_begins_after_the_last_number(stamps: Stamps, place: str) -> None:
    asked = []

    def latest_after(after: int) -> list[tuple[int, int]]:
        asked.append(after)
        return [(stamp_key(user), one) for user, one in [("u", 2), ("v", 4)] if one > after]

    for _ in range(2):
        stamps.catch_up(5, latest_after)
    assert asked == [0]
    assert (stamps.of("u"), stamps.of("v"), stamps.of("w")) == (2, 4, 0)
    other = Stamps(place)
    other.catch_up(9, lambda after: [(stamp_key("w"), after + 4)])
    assert stamps.of("w") == 9
    other.close()


def test_the_last_to_go_removes_it(place: str) -> None:
    first, second = Stamps(place), Stamps(place)
    path = first._path
    assert path.stat().st_mode & 0o777 == 0o600
    first.raise_to([("u", 5)])
    first.close()
    assert path.exists()
    assert second.of("u") == 5
    second.close()
    assert not path.exists()
    third = Stamps(place)
    assert third.of("u") == 0
    third.close()


def test_closing_twice_is_fine_and_noting_after_it_is_refused(place: str) -> None:
    stamps = Stamps(place)
    stamps.close()
    stamps.close()
    with pytest.raises(StoreUnavailable):
        stamps.raise_to([("u", 1)])


def test_a_link_in_its_place_is_not_followed(place: str, tmp_path: Path) -> None:
    stamps = Stamps(place)
    path = stamps._path
    stamps.close()
    target = tmp_path / "precious"
    target.write_text("precious")
    path.symlink_to(target)
    try:
        with pytest.raises(StoreUnavailable) as caught:
            Stamps(place)
    finally:
        path.unlink()
    assert caught.value.reason == "memory"
    assert target.read_text() == "precious"


def test_without_shared_memory_a_temporary_file_serves_and_all_is_looked_at_again(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.files.SHARED_MEMORY", tmp_path / "none")
    first = Stamps(place)
    first.catch_up(5, lambda _: [(stamp_key("u"), 5)])
    asked: list[int] = []

    def latest_after(after: int) -> list[tuple[int, int]]:
        asked.append(after)
        return []

    second = Stamps(place)
    second.catch_up(5, latest_after)
    assert asked == [0]
    assert second.of("u") == 5
    first.close()
    second.close()
