"""The table of contenders that have a name on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from app.recommend.query import Strategy
from training.errors import TrainingError
from training.measuring.ease import Ease
from training.measuring.evaluation import Contender, GivesLists
from training.measuring.item_knn import ItemKnn
from training.measuring.searched import Searched

# The contender that the others are compared with; it always takes part, as the last one.
SUBJECT: Final = "als"


@dataclass(frozen=True, slots=True)
class NamedContender:
    """The declaration of a contender.

    Attributes:
        name: its name in options, tables and reports.
        words: its lists in words; a clause without a full stop.
        gives: makes the lists.
    """

    name: str
    words: str
    gives: GivesLists


# A preset may have another contender by the same name.
CONTENDERS: Final[Mapping[str, NamedContender]] = {
    one.name: one
    for one in (
        NamedContender(
            "popularity",
            "the artists with most listeners, without those that the user has",
            Contender(Strategy.POPULARITY),
        ),
        NamedContender(
            "popularity with seen",
            "the same list for everybody",
            Contender(Strategy.POPULARITY, include_seen=True),
        ),
        NamedContender("item-knn", "nearest neighbours of the user's artists", ItemKnn()),
        NamedContender(
            "item-knn-searched",
            "the same, with options chosen on a validation part",
            Searched(
                ItemKnn(),
                {
                    "similarity": ("cosine", "tf-idf", "bm25"),
                    "shrinkage": (0.0, 1.0, 3.0, 10.0, 30.0, 100.0),
                    "neighbours": (20, 50, 100, 200, 500, 1000),
                },
            ),
        ),
        NamedContender(
            "ease",
            "the linear model EASE, with its regularization chosen on a validation part",
            Searched(
                Ease(),
                {"relative_regularization": (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)},
            ),
        ),
        NamedContender(SUBJECT, "the service's answer", Contender(Strategy.AUTO)),
    )
}


def named(*names: str) -> dict[str, GivesLists]:
    """Returns contenders of the table."""
    return {name: CONTENDERS[name].gives for name in names}


def chosen_contenders(
    names: Sequence[str], of_recipe: Mapping[str, GivesLists]
) -> dict[str, GivesLists]:
    """Returns the contenders of these names, and those that the others are compared with.

    Args:
        names: of the recipe's contenders, or of the table.
        of_recipe: the contenders of the recipe; the last one takes part in any case.

    Raises:
        TrainingError: there is no such contender.
    """
    known = {**named(*CONTENDERS), **of_recipe}
    for name in names:
        if name not in known:
            nearest = get_close_matches(name, known, n=1)
            hint = f"did you mean '{nearest[0]}'?" if nearest else f"known are {', '.join(known)}"
            raise TrainingError(f"there is no contender '{name}'; {hint}")
    *_, subject = of_recipe
    return {name: known[name] for name in dict.fromkeys((*names, subject)) if name != subject} | {
        subject: of_recipe[subject]
    }
