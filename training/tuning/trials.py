"""The results of a search: its trials, and the best of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from training.fitting.hyperparameters import LINEAR
from training.measuring.convergence import enough


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of hyperparameters that was tried.

    Attributes:
        number: from 0.
        parameters: name to value, a number or the name of a weighting.
        ndcg: the best value of its curve.
        curve: NDCG on the validation part after each iteration.
        pruned: whether it was given up early.
        seconds: its duration.
    """

    number: int
    parameters: Mapping[str, Any]
    ndcg: float
    curve: Sequence[float]
    pruned: bool
    seconds: float

    @property
    def iterations(self) -> int:
        """Number of iterations to train."""
        return enough(self.curve)


@dataclass(frozen=True, slots=True)
class Search:
    """A finished or interrupted search.

    Attributes:
        trials: in the order in which they ran.
        best: number of the best trial.
        k: cut-off of the objective, NDCG@k.
        users: number of validation users, over whom the objective is a mean.
        space: name to range in words, for instance ``0.03 to 1.2, by logarithm``.
    """

    trials: Sequence[Trial]
    best: int
    k: int
    users: int
    space: Mapping[str, str]

    @property
    def winner(self) -> Trial:
        """The best trial."""
        return self.trials[self.best]

    def options(self) -> dict[str, Any]:
        """Returns the winner as options of the recipe; a block that it lacks has no columns."""
        none = dict.fromkeys(("factors", f"{LINEAR}rank"), 0)
        return {**none, **self.winner.parameters, "iterations": self.winner.iterations}

    def to_json(self) -> dict[str, Any]:
        """Returns the search for ``tune --json``."""
        return {
            "objective": f"NDCG@{self.k}",
            "users": self.users,
            "space": dict(self.space),
            "winner": {"number": self.best, "ndcg": self.winner.ndcg, **self.options()},
            "trials": [asdict(trial) for trial in self.trials],
        }
