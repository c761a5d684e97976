"""The table of splits, held against the page about evaluation."""

import re
from pathlib import Path

from training.splitting.drawn import Drawn
from training.splitting.splits import SPLITS

PAGE = Path(__file__).parents[3] / "docs/evaluation.md"


def test_the_page_about_evaluation_has_the_table() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("\n## Splits\n")[2].partition("\n## ")[0]
    splits, options = section.split("\n\n| option |")
    assert re.findall(r"^\| `([a-z][a-z-]+)` \|", splits, re.M) == list(SPLITS)
    rows = re.findall(r"^\| `(--[a-z-]+)` \| ([^|]+) \|", options, re.M)
    of_option = {option: re.findall(r"`([a-z-]+)`", names) for option, names in rows}
    drawn = [name for name, kind in SPLITS.items() if issubclass(kind, Drawn)]
    assert of_option.pop("--seed") == drawn
    assert of_option.pop("--repeats") == []  # "the same"
    assert of_option == {
        option: [name for name, kind in SPLITS.items() if option in kind.options]
        for option in dict.fromkeys(option for kind in SPLITS.values() for option in kind.options)
    }


def test_the_names_in_the_manifest_differ() -> None:
    assert len({kind.name for kind in SPLITS.values()}) == len(SPLITS)
