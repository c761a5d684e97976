"""What a split is: it yields folds, each a training part and a test part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.data.interactions import Interactions
from training.errors import NothingToMeasure, TrainingError

# What a seed of a validation part is further on than that of its split.
VALIDATION_SEED: Final = 100
# So that short histories take part in the choice of hyperparameters as well.
VALIDATION_MIN_ITEMS: Final = 3


@dataclass(frozen=True, slots=True)
class Fold:
    """What one model learns from, and what it is measured on.

    Attributes:
        train: the training part.
        test: the test part, over the same users and items.
        given: for a split by users, what is told of users who are not in training, so that they
            can be folded in; over the same users and items; else None.
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
        """Returns the split for the manifest and the metrics."""
        ...


@dataclass(frozen=True, slots=True)
class Named:
    """A split that is made here, with what there is to say of it.

    Attributes:
        option: what ``--split`` takes.
        name: in the manifest and in messages.
        options: by option of the command line, the field that it sets.
    """

    option: ClassVar[str]
    name: ClassVar[str]
    options: ClassVar[Mapping[str, str]] = {}

    def to_manifest(self) -> dict[str, Any]:
        """Returns the split for the manifest and the metrics."""
        return {"name": self.name} | asdict(self)


@dataclass(frozen=True, slots=True)
class OneFold(Named):
    """A split that is made here, of one fold."""

    n_folds: ClassVar[int] = 1


def floored(amounts: ArrayLike) -> NDArray[np.int64]:
    """Returns amounts rounded down, in the shape that they have."""
    # (1 - 0.8) * 10 comes out just below 2.
    return np.floor(np.asarray(amounts) + 1e-9).astype(np.int64)


def refuse_short_histories(lengths: NDArray[np.int64], min_items: int) -> None:
    """Refuses data in which no user has enough items.

    Args:
        lengths: shape (n_users,), items of each.
        min_items: how many are enough.

    Raises:
        NothingToMeasure: no user has as many.
    """
    if not np.any(lengths >= min_items):
        raise NothingToMeasure(
            f"no user has the {min_items} artists that the split asks for; the longest "
            f"history has {int(lengths.max(initial=0))}"
        )


def check_fraction(name: str, fraction: float) -> None:
    """Refuses a fraction that leaves one part empty."""
    if not 0 < fraction < 1:
        raise TrainingError(f"{name} has to lie between 0 and 1, not {fraction}")


def check_min_items(min_items: int) -> None:
    """Refuses users who could lose everything."""
    if min_items < 2:
        raise TrainingError(f"min_items has to be 2 or more, not {min_items}")
