"""The contract of a split: it yields folds, each a training part and a test part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.data.interactions import Interactions
from training.errors import NothingToMeasure, TrainingError

# Added to the seed of a split for the seed of its validation part.
VALIDATION_SEED: Final = 100
# Low, so that short histories take part in the choice of hyperparameters too.
VALIDATION_MIN_ITEMS: Final = 3


@dataclass(frozen=True, slots=True)
class Fold:
    """What one model learns from, and what it is measured on.

    Attributes:
        train: the training part.
        test: the test part, over the same users and items.
        given: for a split by users, the pairs from which held-out users are folded in, over the
            same users and items; otherwise None.
    """

    train: Interactions
    test: Interactions
    given: Interactions | None = None


class Split(Protocol):
    """A way of cutting a test part."""

    @property
    def n_folds(self) -> int:
        """How many folds there are."""
        ...

    def folds(self, interactions: Interactions) -> Iterator[Fold]:
        """Yields the folds.

        Raises:
            NothingToMeasure: a fold has no training or no test pair.
            TrainingError: the data lack what the split needs.
        """
        ...

    def validation(self) -> Split:
        """Returns the split that cuts a validation part from this one's training part."""
        ...

    def to_manifest(self) -> dict[str, Any]:
        """Returns the split for the manifest and ``evaluate --json``."""
        ...


@dataclass(frozen=True, slots=True)
class Named:
    """A split that Encore makes, with its names and options.

    Attributes:
        option: its value of ``--split``.
        name: its name in the manifest and in messages.
        options: option of the command line to the field that it sets.
    """

    option: ClassVar[str]
    name: ClassVar[str]
    options: ClassVar[Mapping[str, str]] = {}

    def to_manifest(self) -> dict[str, Any]:
        """Returns the split for the manifest and ``evaluate --json``."""
        return {"name": self.name} | asdict(self)


@dataclass(frozen=True, slots=True)
class OneFold(Named):
    """A split that Encore makes, with one fold."""

    n_folds: ClassVar[int] = 1


def floored(amounts: ArrayLike) -> NDArray[np.int64]:
    """Returns amounts rounded down, in the same shape."""
    # Without the margin (1 - 0.8) * 10, just below 2 in floating point, would become 1.
    return np.floor(np.asarray(amounts) + 1e-9).astype(np.int64)


def refuse_short_histories(lengths: NDArray[np.int64], min_items: int) -> None:
    """Refuses data in which no user has enough items.

    Args:
        lengths: shape (n_users,), number of items of each user.
        min_items: the least number of items that is enough.

    Raises:
        NothingToMeasure: no user has that many items.
    """
    if not np.any(lengths >= min_items):
        raise NothingToMeasure(
            f"no user has the {min_items} artists that the split asks for; the longest "
            f"history has {int(lengths.max(initial=0))}"
        )


def check_fraction(name: str, fraction: float) -> None:
    """Refuses a fraction that leaves one part empty.

    Raises:
        TrainingError: it does not lie between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise TrainingError(f"{name} has to lie between 0 and 1, not {fraction}")


def check_min_items(min_items: int) -> None:
    """Refuses a minimum that could leave a user without training items.

    Raises:
        TrainingError: it is below 2.
    """
    if min_items < 2:
        raise TrainingError(f"min_items has to be 2 or more, not {min_items}")
