"""What ``--data`` may name: patterns for every dataset, standard input for some."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from training.data.records import Records
from training.datasets import DATASETS, load_dataset
from training.datasets.synthetic.generator import PLAYS, generate
from training.errors import DatasetError

# A file of each dataset that takes standard input: its name, and its content.
FILES: Final = {
    "lastfm-export": ("anna.csv", "uts,artist\n1700000000,Can\n1700000060,Neu!\n"),
    "movielens": ("ratings.csv", "userId,movieId,rating,timestamp\n1,2,5,978300760\n"),
    "echonest": ("train_triplets.txt", f"{'a' * 40}\tSO1\t3\n"),
    "table": ("plays.csv", "user_id,item_id\nu,x\n"),
}
READ: Final = """
import sys
from pathlib import Path
from training.datasets import load_dataset
from training.errors import DatasetError
try:
    records = load_dataset(sys.argv[1], Path("-"))
    print(records.rows.taken, *records.user_ids, *records.item_ids, *records.sources, sep=";")
except DatasetError as error:
    print(error)
"""


def written(folder: Path, name: str) -> Path:
    file, content = FILES[name]
    folder.mkdir(exist_ok=True)
    (folder / file).write_text(content)
    return folder / file


def ids(records: Records) -> list[str]:
    return [*records.user_ids, *records.item_ids]


def test_the_datasets_that_take_standard_input_are_all_tested() -> None:
    assert {one.name for one in DATASETS.values() if one.takes_input} == FILES.keys()


@pytest.mark.parametrize("name", sorted(DATASETS.keys() - FILES.keys()))
def test_standard_input_is_refused_with_what_takes_it(name: str) -> None:
    with pytest.raises(DatasetError, match=f"^{name} is not read from standard input, as .*table"):
        load_dataset(name, Path("-"))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FILES.keys() - {"table"}))
def test_standard_input_gives_what_the_file_gives(name: str, tmp_path: Path) -> None:
    file = written(tmp_path, name)
    expected = load_dataset(name, file)
    command = [sys.executable, "-c", READ, name]
    ended = subprocess.run(
        command,
        input=gzip.compress(file.read_bytes()),
        capture_output=True,
        timeout=120,
        check=True,
    )
    # Nothing names the user of an account.
    shown = ["me" if one == "anna" else one for one in ids(expected)]
    said = ended.stdout.decode().rstrip().split(";")
    assert said == [str(expected.rows.taken), *shown, "standard input"]
    assert ended.stderr == b""


@pytest.mark.parametrize("name", FILES)
def test_a_pattern_of_one_file_gives_what_the_file_gives(name: str, tmp_path: Path) -> None:
    file = written(tmp_path / "in", name)
    pattern = tmp_path / "*" / f"{file.name[:4]}*"
    records = load_dataset(name, pattern)
    assert ids(records) == ids(load_dataset(name, file))
    assert list(records.sources) == [f"in/{file.name}"]
    other = file.rename(file.with_name("other.txt"))
    assert ids(load_dataset(name, tmp_path / "in" / "*")) in (
        ids(load_dataset(name, other)),
        ["other", *ids(records)[1:]],
    )


@pytest.mark.parametrize("name", DATASETS)
def test_a_pattern_without_a_match_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(DatasetError, match=r"no file matches '.*\*\.csv'; .* holds x; correct"):
        load_dataset(name, tmp_path / "*.csv")


def test_the_file_of_a_dataset_is_found_by_a_pattern(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        file = tmp_path / str(number) / PLAYS
        file.write_text(f"{'a' * 40}\t\tCan\t{number}\n")
    assert load_dataset("lastfm-360k", tmp_path / "1*").plays.tolist() == [1.0]
    assert load_dataset("lastfm-360k", tmp_path / "2" / "*.tsv").plays.tolist() == [2.0]
    with pytest.raises(DatasetError, match=r"matches several files, .*/1 and .*/2; name the one"):
        load_dataset("lastfm-360k", tmp_path / "*")


def test_a_made_up_sample_is_recognised_behind_a_pattern(tmp_path: Path) -> None:
    generate(tmp_path / "made", users=3, artists=5, mean_artists_per_user=2, seed=0)
    for pattern in ("m*", f"*/{PLAYS[:8]}*", "**/*.tsv"):
        with pytest.raises(DatasetError, match="was made up by `python -m training generate`"):
            load_dataset("lastfm-360k", tmp_path / pattern)


def test_histories_of_spotify_are_found_by_a_pattern(tmp_path: Path) -> None:
    play = '[{"endTime":"2023-01-01 12:34","artistName":"Can","msPlayed":60000}]'
    for user in ("anna", "bert"):
        (tmp_path / user).mkdir()
        (tmp_path / user / "StreamingHistory0.json").write_text(play)
    assert load_dataset("spotify", tmp_path / "*").user_ids.to_list() == ["anna", "bert"]
    assert load_dataset("spotify", tmp_path / "*" / "*.json").user_ids.to_list() == ["anna", "bert"]
