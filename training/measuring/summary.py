"""Summary: from the lists of users to figures with intervals, paired tests and bands.

The value of a measure is the mean over the folds. In a fold it is a mean over users or, for
novelty, over the places of their lists. Users are resampled once for all contenders, cut-offs and
measures; in each fold only the resampled users that were measured there count. So intervals cover
the random choice of users, but not that of the split or of the initial factors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final, TypeAlias, assert_never

import numpy as np
from numpy.typing import NDArray

from training.measuring.bands import Band, activity_bands, popularity_bands
from training.measuring.evaluation import Evaluation
from training.measuring.figures import Comparison, Estimate, Figures, ItemBand, UserBand
from training.measuring.measures import NDCG, OfExposure, OverPlaces, OverUsers, compared
from training.measuring.resampling import (
    Bootstrap,
    interval,
    mean_over_folds,
    paired_t_test,
    ratios,
)

_LACKING: Final = "new: not in training"

Array: TypeAlias = NDArray[np.float64]
# The name of a measure and its cut-off, or "band" and a label.
_Name: TypeAlias = tuple[str, int | str]
# The values of all resamples.
_Resampled: TypeAlias = Mapping[_Name, Array]
_Models: TypeAlias = Mapping[str, Mapping[int, Mapping[str, Estimate]]]


def summarise(
    evaluations: Sequence[Evaluation],
    split: Mapping[str, Any],
    *,
    subject: str | None = None,
    seed: int = 0,
) -> Figures:
    """Combines the evaluations of all folds.

    Args:
        evaluations: one for each fold, of the same contenders at the same k; at least one.
        split: the split, for the manifest.
        subject: the contender that is compared with each of the others; by default the last one.
        seed: of the resamples.
    """
    folds = _Folds.of(evaluations, seed)
    first = evaluations[0]
    resampled = {name: folds.resample(name) for name in first.lists}
    models = {
        name: {cutoff: folds.estimate(name, cutoff, values) for cutoff in folds.cutoffs}
        for name, values in resampled.items()
    }
    return Figures(
        split=split,
        k=first.k,
        folds=len(evaluations),
        users=len(folds.users),
        users_with_test=len(_union([one.users_with_test for one in evaluations])),
        models=models,
        asked=first.asked,
        comparisons=_compare(folds, models, resampled, subject or list(first.lists)[-1]),
        user_bands=[
            UserBand(
                band.label,
                int(band.members.sum()),
                {name: folds.estimate_band(name, band, resampled[name]) for name in first.lists},
            )
            for band in folds.bands
        ],
        item_bands=_item_bands(evaluations),
        exposure=_exposure(first),
        per_fold=[{name: one.values(name) for name in one.lists} for one in evaluations],
        measures=first.measures,
    )


@dataclass(frozen=True, slots=True)
class _Folds:
    """All folds, with all users that were measured in any of them.

    Attributes:
        evaluations: one for each fold.
        users: int64, user indices, ascending.
        positions: for each fold, the positions of its users in ``users``.
        cutoffs: the cut-offs that all folds have.
        bands: of ``users`` by activity.
        bootstrap: the resamples of ``users``.
    """

    evaluations: Sequence[Evaluation]
    users: NDArray[np.int64]
    positions: Sequence[NDArray[np.int64]]
    cutoffs: Sequence[int]
    bands: Sequence[Band]
    bootstrap: Bootstrap

    @classmethod
    def of(cls, evaluations: Sequence[Evaluation], seed: int) -> _Folds:
        users = _union([one.users for one in evaluations])
        positions = [np.searchsorted(users, one.users) for one in evaluations]
        artists = _mean_by_user(positions, [one.n_history for one in evaluations], len(users))
        return cls(
            evaluations,
            users,
            positions,
            sorted(set.intersection(*(set(one.cutoffs) for one in evaluations))),
            # The mean over the folds, rounded up: 0 only for users without artists in all folds.
            activity_bands(np.ceil(artists).astype(np.int64)),
            Bootstrap(len(users), seed),
        )

    def resample(self, contender: str) -> _Resampled:
        by_fold = [
            self._resample_fold(evaluation, positions, contender)
            for evaluation, positions in zip(self.evaluations, self.positions, strict=True)
        ]
        return {name: mean_over_folds([fold[name] for fold in by_fold]) for name in by_fold[0]}

    def _resample_fold(
        self, evaluation: Evaluation, positions: NDArray[np.int64], contender: str
    ) -> _Resampled:
        above, below = self._columns(evaluation, positions, contender)
        everyone = np.ones((len(positions), 1))
        columns = np.column_stack([*above.values(), *below.values(), everyone])
        sums = self.bootstrap.sums(columns, positions).T
        divisors = dict(zip(below, sums[len(above) : -1], strict=True))
        return {
            name: ratios(total, divisors.get(name, sums[-1]))
            for name, total in zip(above, sums, strict=False)
        }

    def _columns(
        self, evaluation: Evaluation, positions: NDArray[np.int64], contender: str
    ) -> tuple[dict[_Name, Array], dict[_Name, Array]]:
        """Returns the numerators over users, and the denominators that are not their number."""
        above: dict[_Name, Array] = {}
        below: dict[_Name, Array] = {}
        for cutoff in self.cutoffs:
            for measure in evaluation.measures.values():
                name = measure.name, cutoff
                match measure:
                    case OverUsers():
                        above[name] = evaluation.per_user(contender, measure, cutoff)
                    case OverPlaces():
                        above[name], below[name] = evaluation.over_places(
                            contender, measure, cutoff
                        )
                    case OfExposure():  # no mean, so nothing to sum
                        pass
                    case _:
                        assert_never(measure)
        ndcg = evaluation.per_user(contender, NDCG)
        for band in self.bands:
            members = band.members[positions].astype(np.float64)
            above["band", band.label], below["band", band.label] = ndcg * members, members
        return above, below

    def estimate(self, contender: str, cutoff: int, resampled: _Resampled) -> dict[str, Estimate]:
        """Returns all measures at one cut-off, with their intervals where they have one."""
        by_fold = [one.values(contender, cutoff) for one in self.evaluations]
        estimates = {}
        for name in by_fold[0]:
            # With one fold a count stays a whole number.
            values = [fold[name] for fold in by_fold]
            value = fmean(values) if len(values) > 1 else values[0]
            known = resampled.get((name, cutoff))
            estimates[name] = Estimate(value) if known is None else _estimate(value, known)
        return estimates

    def estimate_band(self, contender: str, band: Band, resampled: _Resampled) -> Estimate:
        """Returns the NDCG of a band at k."""
        means = []
        for evaluation, positions in zip(self.evaluations, self.positions, strict=True):
            members = band.members[positions]
            if members.any():
                means.append(float(evaluation.per_user(contender, NDCG)[members].mean()))
        return _estimate(fmean(means), resampled["band", band.label])

    def per_user(self, contender: str, measure: OverUsers) -> Array:
        """Returns each user's mean over the folds at k, shape (len(users),)."""
        values = [one.per_user(contender, measure) for one in self.evaluations]
        return _mean_by_user(self.positions, values, len(self.users))

    def compare(
        self,
        measure: OverUsers,
        pair: tuple[str, str],
        models: _Models,
        resampled: Mapping[str, _Resampled],
    ) -> Comparison:
        """Compares two contenders on the same users, at k."""
        (first, second), name, k = pair, measure.name, self.evaluations[0].k
        value = models[first][k][name].value - models[second][k][name].value
        difference = resampled[first][name, k] - resampled[second][name, k]
        p_value = paired_t_test(self.per_user(first, measure), self.per_user(second, measure))
        return Comparison(first, second, name, _estimate(value, difference), p_value)


def _compare(
    folds: _Folds, models: _Models, resampled: Mapping[str, _Resampled], subject: str
) -> list[Comparison]:
    return [
        folds.compare(measure, (subject, other), models, resampled)
        for other in models
        if other != subject
        for measure in compared(folds.evaluations[0].measures)
    ]


def _item_bands(evaluations: Sequence[Evaluation]) -> list[ItemBand]:
    # The mean over the folds, rounded up, as for users.
    listeners = np.ceil(np.mean([one.listeners for one in evaluations], axis=0))
    bands = popularity_bands(listeners.astype(np.int64))
    known = [one.listeners > 0 for one in evaluations]
    shares = [
        _item_band(evaluations, band.label, [band.members & mask for mask in known])
        for band in bands
    ]
    lacking = [~mask & (one.test_counts > 0) for mask, one in zip(known, evaluations, strict=True)]
    if any(mask.any() for mask in lacking):
        shares.append(_item_band(evaluations, _LACKING, lacking))
    return shares


def _item_band(
    evaluations: Sequence[Evaluation], label: str, members: Sequence[NDArray[np.bool_]]
) -> ItemBand:
    """Sums counts over all folds; ``members`` marks the items of the band in each."""
    in_band = list(zip(evaluations, members, strict=True))
    tested = sum(int(one.test_counts[mask].sum()) for one, mask in in_band)
    recall, exposure = {}, {}
    for name in evaluations[0].lists:
        hits = sum(int(_hits_by_item(one, name)[mask].sum()) for one, mask in in_band)
        shown = sum(int(one.exposure(name)[mask].sum()) for one, mask in in_band)
        recall[name] = hits / max(1, tested)
        exposure[name] = shown / max(1, sum(int(one.exposure(name).sum()) for one in evaluations))
    return ItemBand(
        label,
        int(np.any(members, axis=0).sum()),
        tested / sum(int(one.test_counts.sum()) for one in evaluations),
        recall,
        exposure,
    )


def _hits_by_item(evaluation: Evaluation, contender: str) -> NDArray[np.int64]:
    lists = evaluation.lists[contender][:, : evaluation.k]
    hits = evaluation.hits[contender][:, : evaluation.k]
    return np.bincount(lists[hits], minlength=len(evaluation.listeners))


def _exposure(first: Evaluation) -> dict[str, NDArray[np.int64]]:
    trained = first.listeners > 0
    return {name: first.exposure(name)[trained] for name in first.lists}


def _estimate(value: float, resampled: Array) -> Estimate:
    # All resamples are NaN where all lists are empty.
    return Estimate(value) if np.isnan(resampled).all() else Estimate(value, *interval(resampled))


def _union(indices: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.unique(np.concatenate(indices))


def _mean_by_user(
    positions: Sequence[NDArray[np.int64]],
    values: Sequence[NDArray[np.int64]] | Sequence[Array],
    n_users: int,
) -> Array:
    where = np.concatenate(positions)
    totals = np.bincount(where, weights=np.concatenate(values), minlength=n_users)
    return np.asarray(totals / np.bincount(where, minlength=n_users))
