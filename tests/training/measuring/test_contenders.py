"""The table of contenders, and how names choose of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.errors import TrainingError
from training.measuring.contenders import CONTENDERS, SUBJECT, chosen_contenders, named
from training.presets import DEFAULT, PRESETS, REFERENCE

PAGE = Path(__file__).parents[3] / "docs/evaluation.md"


def test_the_page_about_evaluation_names_each_contender() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("\n## What is compared\n")[2]
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows[: len(CONTENDERS)]] == list(CONTENDERS)


def test_the_subject_always_takes_part_as_the_last_one() -> None:
    for names in (["ease"], ["als", "ease"], ["ease", "als", "ease"]):
        assert list(chosen_contenders(names, DEFAULT.contenders)) == ["ease", SUBJECT]


def test_a_contender_of_the_preset_wins_over_one_of_the_table() -> None:
    chosen = chosen_contenders(
        ["popularity", "popularity without seen", "item-knn"], REFERENCE.contenders
    )
    assert list(chosen) == ["popularity", "popularity without seen", "item-knn", "als"]
    assert chosen["popularity"] is REFERENCE.contenders["popularity"]
    assert chosen["popularity"] != CONTENDERS["popularity"].gives


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("eese", "there is no contender 'eese'; did you mean 'ease'?"),
        ("item-knn-serched", "did you mean 'item-knn-searched'?"),
        ("", "known are popularity, "),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(TrainingError) as refused:
        chosen_contenders(["item-knn", name], DEFAULT.contenders)
    assert message in str(refused.value)


def test_presets_end_with_the_subject() -> None:
    assert all(list(preset.contenders)[-1] == SUBJECT for preset in PRESETS.values())
    assert named(SUBJECT) == {SUBJECT: DEFAULT.contenders[SUBJECT]}
