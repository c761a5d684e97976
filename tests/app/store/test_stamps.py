from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
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


def filled(*numbers: tuple[str, int]) -> Callable[[int], list[tuple[int, int]]]:
    """What a store says was stored after a number."""
    return lambda after: [(stamp_key(user), one) for user, one in numbers if one > after]


def lose(stamps: Stamps) -> None:
    """What logging out does: systemd-logind removes what a user has in shared memory."""
    stamps._path.unlink()


def test_all_come_together_again_after_the_table_was_removed(place: str) -> None:
    # Was wrong: a worker that came later had a table of its own, and missed what others stored.
    one, two = Stamps(place), Stamps(place)
    one.catch_up(2, filled(("u", 1), ("v", 2)))
    lose(one)
    late = Stamps(place)
    late.catch_up(2, filled(("u", 1), ("v", 2)))
    one.raise_to([("w", 3)])
    assert [stamps.of("w") for stamps in (one, two, late)] == [3, 3, 3]
    for stamps in (two, one):
        stamps.catch_up(3, filled(("u", 1), ("v", 2), ("w", 3)))
    late.raise_to([("x", 4)])
    two.raise_availability(5)
    for stamps in (one, two, late):
        assert [stamps.of(user) for user in "uvwx"] == [1, 2, 3, 4]
        assert stamps.availability[0] == 5
        stamps.catch_up(4, filled(("x", 4)))
        assert len(stamps._tables) == 1
    path = late._path
    for stamps in (one, two):
        stamps.close()
        assert path.exists()
    late.close()
    assert not path.exists()


def test_a_table_is_not_read_before_it_is_filled(place: str) -> None:
    stamps = Stamps(place)
    stamps.catch_up(1, filled(("u", 1)))
    lose(stamps)
    stamps.raise_to([("v", 2)])
    assert [stamps.of(user) for user in "uv"] == [1, 2]

    def fails(after: int) -> list[tuple[int, int]]:
        assert after == 0  # a new table: all of it is read again
        raise StoreUnavailable("slow", "it does not answer")

    with pytest.raises(StoreUnavailable):
        stamps.catch_up(2, fails)
    assert [stamps.of(user) for user in "uv"] == [1, 2]
    stamps.catch_up(2, filled(("u", 1), ("v", 2)))
    assert [stamps.of(user) for user in "uv"] == [1, 2]
    stamps.close()


def test_closing_leaves_the_table_of_others(place: str) -> None:
    # Was wrong: the last one in a table that was gone removed the table of those who came later.
    one = Stamps(place)
    lose(one)
    late = Stamps(place)
    one.close()
    assert late._path.exists()
    late.close()


def test_a_table_that_was_moved_away_and_back_is_the_same(place: str, tmp_path: Path) -> None:
    one, two = Stamps(place), Stamps(place)
    aside = one._path.with_name(f"aside-{tmp_path.name}")
    one._path.rename(aside)
    one.raise_to([("u", 1)])
    aside.rename(one._path)
    for stamps in (one, two, one):
        stamps.catch_up(1, filled(("u", 1)))
    two.raise_to([("v", 2)])
    assert [stamps.of("v") for stamps in (one, two)] == [2, 2]
    assert [len(stamps._tables) for stamps in (one, two)] == [1, 1]
    for stamps in (one, two):
        stamps.close()


@pytest.mark.parametrize("content", [b"\xff" * 99, b"\xff" * 2**20, bytes(2**24)])
def test_what_is_no_table_is_emptied(place: str, content: bytes) -> None:
    one = Stamps(place)
    one.catch_up(1, filled(("u", 1)))
    other = one._path.with_suffix(".other")
    other.write_bytes(content)
    other.replace(one._path)
    two = Stamps(place)
    assert (two.of("u"), two.availability[0]) == (0, 0)
    for stamps in (two, one):
        stamps.catch_up(2, filled(("u", 1), ("v", 2)))
        assert [stamps.of(user) for user in "uvw"] == [1, 2, 0]
    for stamps in (one, two):
        stamps.close()


@pytest.mark.parametrize("length", [0, 4096, 2**22])
def test_a_table_that_was_cut_short_is_made_whole_and_filled_again(place: str, length: int) -> None:
    one, two = Stamps(place), Stamps(place)
    one.catch_up(1, filled(("u", 1)))
    os.truncate(one._path, length)
    for stamps in (one, two):
        stamps.catch_up(1, filled(("u", 1)))
    assert [stamps.of("u") for stamps in (one, two)] == [1, 1]
    for stamps in (one, two):
        stamps.close()


def test_without_room_for_another_table_the_one_before_serves(
    place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_room(descriptor: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    stamps = Stamps(place)
    lose(stamps)
    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", no_room)
        for number in range(1, 4):
            stamps.raise_to([("u", number)])
        assert stamps.of("u") == 3
        stamps._path.unlink()
        with pytest.raises(StoreUnavailable, match="8 MiB have to fit there"):
            Stamps(place)
    assert caplog.text.count("8 MiB have to fit there; until then a worker that is replaced") == 1
    stamps.catch_up(3, filled(("u", 3)))
    assert (stamps.of("u"), len(stamps._tables)) == (3, 1)
    stamps.close()


AS_ANOTHER_USER = """
import os, sys
from app.store.stamps import Stamps
os.setuid(65534)
first = Stamps(sys.argv[1])
first.raise_to([("u", 5)])
first._path.chmod(0)
second = Stamps(sys.argv[1])
first.raise_to([("u", 6)])
print(first.of("u"), second.of("u"), oct(first._path.stat().st_mode & 0o777))
first.close()
second.close()
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_a_table_whose_permissions_were_changed_is_made_again(place: str) -> None:
    # Was wrong: no worker could be replaced any more.
    done = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER_USER, place],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("6 6 0o600\n", 0), done.stderr
