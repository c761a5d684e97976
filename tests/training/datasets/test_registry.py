"""What every entry of the table has, and how datasets are found."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import pytest

import training.datasets
from training.datasets import (
    DATASETS,
    DatasetOptions,
    LoadOptions,
    check_options,
    ensure_dataset,
    load_dataset,
    option_names,
    with_times,
)
from training.datasets.synthetic.generator import PLAYS, generate
from training.datasets.synthetic.timed_generator import generate_timed
from training.errors import DatasetError

ROOT = Path(__file__).parents[3]
# A value that differs from a default, by the option or by the type of the default.
_VALUES: Final[dict[str, Any]] = {
    "timestamp_format": "%d.%m.%Y",
    "normalize_ids": "nfc",
    "disliked": False,
    "separator": ";",
    "encoding": "cp1252",
    "decimal": ",",
    "thousands": ",",
}
_OTHER: Final[dict[type, Any]] = {
    type(None): "other",
    str: "other",
    bool: True,
    int: 12_345,
    float: 12_345.5,
}


def test_knows_the_datasets() -> None:
    # Scripts name these, and manifests hold them.
    assert {"lastfm-360k", "lastfm-1k", "hetrec-lastfm-2k", "table", "synthetic"} <= set(DATASETS)
    assert {"spotify", "lastfm-export", "movielens", "echonest"} <= set(DATASETS)
    assert {"listenbrainz", "yambda"} <= set(DATASETS)
    for name, dataset in DATASETS.items():
        assert dataset.name == name
        assert dataset.description
        assert dataset.licence
        assert dataset.source
        assert dataset.files


def test_every_dataset_that_a_module_declares_is_in_the_table() -> None:
    package = training.datasets
    modules = [one.name for one in pkgutil.walk_packages(package.__path__, "training.datasets.")]
    declared = [getattr(importlib.import_module(name), "DATASET", None) for name in modules]
    assert {id(one) for one in declared if one} == {id(one) for one in DATASETS.values()}


def test_the_docs_describe_every_dataset() -> None:
    text = (ROOT / "docs" / "datasets.md").read_text()
    sections = dict(re.findall(r"^## `(.+?)`\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))

    assert list(sections) == list(DATASETS)
    for name, dataset in DATASETS.items():
        for file in dataset.files:
            assert f"`{file}`" in sections[name]
        if dataset.download is not None:
            assert dataset.source in sections[name]
            for checksum in filter(None, dataset.download.files.values()):
                assert checksum.removeprefix("md5:") in sections[name]


PAGES = ["README.md", "Makefile", "docker-compose.yml"]
PAGES += sorted(f"docs/{one.name}" for one in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES)
def test_datasets_that_pages_name_are_known(page: str) -> None:
    named = re.findall(r"(?:--dataset|DATASET=) ?([a-z0-9-]+)", (ROOT / page).read_text())
    assert set(named) - {"name"} <= DATASETS.keys()  # the help of make names none


def test_make_knows_the_sample_and_the_table() -> None:
    text = (ROOT / "Makefile").read_text()
    assert "$(if $(DATA),table,synthetic)" in text
    assert f"$(SAMPLE)/{DATASETS['synthetic'].files[0]}" in text
    assert DATASETS["synthetic"].is_made_up
    assert DATASETS["table"].download is None


def test_says_which_datasets_have_times() -> None:
    assert with_times() == (
        "lastfm-1k, listenbrainz, yambda, or a table whose column of times --timestamp-column names"
    )


def test_a_path_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    # Was wrong: polars took such a path for a file object.
    with pytest.raises(DatasetError, match="the name is no valid UTF-8; rename it"):
        load_dataset("table", tmp_path / os.fsdecode(b"bad\xff.csv"))


def test_an_unknown_name_lists_the_known_ones() -> None:
    known = f"nown are {', '.join(DATASETS)}$"
    with pytest.raises(DatasetError, match=f"no dataset 'mine'; k{known}"):
        load_dataset("mine", Path())
    with pytest.raises(DatasetError, match=known):
        ensure_dataset("mine")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("tabel", "did you mean table?"),
        ("Last_FM-360K", "did you mean lastfm-360k"),
        ("listenbrains", "did you mean listenbrainz?"),
        ("lastfm", "did you mean lastfm-1k or lastfm-360k or "),
        ("parquet", "table reads that form."),
        ("plays.csv", "a file is named by --data, and its dataset may be table."),
        ("/data/plays", "a file is named by --data"),
    ],
)
def test_a_wrong_name_is_told_what_it_was_probably_meant_as(name: str, meant: str) -> None:
    with pytest.raises(DatasetError, match=f"no dataset '{name}'; {re.escape(meant)}.* Known are"):
        ensure_dataset(name)


def test_loads_by_name(tmp_path: Path) -> None:
    file = tmp_path / "plays.csv"
    file.write_text("who,item_id\nu,x\n")

    records = load_dataset("table", file, LoadOptions(user_column="who"))

    assert records.user_ids.to_list() == ["u"]


def test_each_dataset_declares_its_options_and_the_command_line_has_them_all() -> None:
    declared = {one.options for one in DATASETS.values() if one.options is not None}
    assert declared == set(DatasetOptions.__bases__)
    names = [name for one in DATASETS.values() for name in option_names(one)]
    assert set(names) == {option.name for option in fields(DatasetOptions)}


@pytest.mark.parametrize("name", DATASETS)
def test_an_option_of_other_datasets_is_refused(name: str) -> None:
    # Was wrong: options of a table were ignored for every other dataset.
    for option in fields(DatasetOptions):
        value = _VALUES.get(option.name, _OTHER[type(option.default)])
        options = LoadOptions(**{option.name: value})
        if option.name in option_names(DATASETS[name]):
            check_options(name, options)
        else:
            flag = f"--{option.name.replace('_', '-')}"
            with pytest.raises(
                DatasetError, match=rf"^{flag} is an option of the datasets? .*{name} does"
            ):
                check_options(name, options)
            with pytest.raises(DatasetError, match=rf"^{flag} .* no dataset is given$"):
                check_options(None, options)
    check_options(name, LoadOptions())


def test_a_refused_option_names_the_dataset_that_takes_it(tmp_path: Path) -> None:
    refusal = "^--user-column is an option of the dataset table; lastfm-360k does not take it$"
    with pytest.raises(DatasetError, match=refusal):
        load_dataset("lastfm-360k", tmp_path / "missing", LoadOptions(user_column="who"))


def test_a_given_path_is_taken_as_it_is(tmp_path: Path) -> None:
    assert ensure_dataset("lastfm-360k", tmp_path / "x", data=tmp_path) == tmp_path / "x"


def test_what_lies_in_the_data_folder_is_not_fetched_again(tmp_path: Path) -> None:
    folder = tmp_path / "hetrec-lastfm-2k"
    folder.mkdir()
    for name in ("user_artists.dat", "artists.dat"):
        (folder / name).touch()

    assert ensure_dataset("hetrec-lastfm-2k", data=tmp_path) == folder


@pytest.mark.parametrize(
    ("name", "hint"), [("table", "Give --data"), ("synthetic", "python -m training generate")]
)
def test_what_cannot_be_downloaded_says_where_it_comes_from(
    tmp_path: Path, name: str, hint: str
) -> None:
    with pytest.raises(DatasetError, match=hint):
        ensure_dataset(name, data=tmp_path)


def test_something_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(DatasetError, match="neither a file nor a folder"):
        load_dataset("lastfm-360k", tmp_path / "pipe")


MADE_UP = r"was made up by `python -m training generate` \(it holds synthetic\.json\), so it is no "


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A small made-up sample."""
    folder = tmp_path / "data" / "synthetic"
    generate(folder, users=20, artists=30, mean_artists_per_user=5)
    return folder


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "synthetic"])
def test_a_made_up_sample_is_no_other_dataset(sample: Path, name: str) -> None:
    # Was wrong: it was read, and published under the name of real data.
    remedy = "give --dataset synthetic, or the real data's place in --data"
    for path in (sample, sample / PLAYS):
        with pytest.raises(DatasetError, match=f"^{sample} {MADE_UP}{name}: {remedy}$"):
            load_dataset(name, path)


def test_made_up_plays_with_times_are_no_other_dataset(tmp_path: Path) -> None:
    generate_timed(tmp_path, users=20, artists=30, mean_artists_per_user=5)
    with pytest.raises(DatasetError, match=f"{MADE_UP}lastfm-1k"):
        load_dataset("lastfm-1k", tmp_path)
    assert load_dataset("synthetic", tmp_path).dataset == "synthetic"


def test_a_sample_in_the_folder_of_the_archive_is_found_as_well(sample: Path) -> None:
    inner = sample.rename(sample.parent / "lastfm-dataset-360K")
    with pytest.raises(DatasetError, match=f"^{inner} {MADE_UP}lastfm-360k"):
        load_dataset("lastfm-360k", inner.parent)


def test_a_sample_that_the_loader_does_not_look_at_is_no_obstacle(sample: Path) -> None:
    folder = sample.parent
    sample.rename(folder / "lastfm-dataset-360K")
    real = ("0" * 40, "", "an artist", "3")
    (folder / PLAYS).write_text("\t".join(real) + "\n")
    assert load_dataset("lastfm-360k", folder).user_ids.to_list() == ["0" * 40]


def test_a_link_into_a_sample_is_a_file_of_it(sample: Path, tmp_path: Path) -> None:
    link = tmp_path / "plays.tsv"
    link.symlink_to(sample / PLAYS)
    with pytest.raises(DatasetError, match=f"^{sample} {MADE_UP}lastfm-360k"):
        load_dataset("lastfm-360k", link)


def test_a_file_of_ones_own_may_lie_beside_a_sample(sample: Path) -> None:
    own = sample / "plays.csv"
    own.write_text("user_id,item_id\nu,x\n")
    assert load_dataset("table", own).user_ids.to_list() == ["u"]


def test_without_its_card_nobody_knows_a_sample(sample: Path) -> None:
    copy = shutil.copy(sample / PLAYS, sample.parent)
    assert load_dataset("lastfm-360k", Path(copy)).dataset == "lastfm-360k"
