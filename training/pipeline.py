"""From records to interactions, with their provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from app.model.watermark import Watermark
from training.data.filters import Step, preprocess
from training.data.interactions import Interactions
from training.data.records import Records, RowCounts
from training.datasets.reading.sources import shorten
from training.datasets.reading.times import UTC_SECONDS
from training.errors import TrainingError
from training.event_data.merge import Merged
from training.presets import Preset


@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin of interactions: what was read, and what the filters left.

    Attributes:
        dataset: the dataset's name.
        sources: the files that were read, for the manifest.
        rows: counts of rows read and dropped.
        steps: what each filter left.
        users, artists, pairs: numbers of them in the interactions.
        watermark: how far the event store was read, None where none was.
        events: counts of the events by how they were used.
        period: the first and the last time of the records, in seconds since 1970 (UTC); None where
            times are unknown.
        normalized: the steps by which ids were normalised.
    """

    dataset: str
    sources: Mapping[str, Any]
    rows: RowCounts
    steps: Sequence[Step]
    users: int
    artists: int
    pairs: int
    watermark: Watermark | None = None
    events: Mapping[str, int] | None = None
    period: tuple[int, int] | None = None
    normalized: tuple[str, ...] = ()

    def to_manifest(self) -> dict[str, Any]:
        """Returns the manifest's entry ``dataset``."""
        return {
            "name": self.dataset,
            "sources": dict(self.sources),
            "rows_read": self.rows.read,
            "rows_dropped": dict(self.rows.dropped),
            "rows_noted": dict(self.rows.noted),
            "users_noted": dict(self.rows.noted_users),
            "artists_noted": dict(self.rows.noted_items),
            "ids_normalized": list(self.normalized),
            "period": describe_period(self.period),
            "events": None if self.events is None else dict(self.events),
            "filters": [step.to_manifest() for step in self.steps],
            "users": self.users,
            "artists": self.artists,
            "pairs": self.pairs,
        }


@dataclass(frozen=True, slots=True)
class Prepared:
    """Interactions with their provenance.

    Attributes:
        interactions: all pairs, before any split.
        provenance: their origin.
    """

    interactions: Interactions
    provenance: Provenance


def describe_period(period: tuple[int, int] | None) -> dict[str, str] | None:
    """Returns a period of seconds since 1970 for the manifest, in ISO 8601 (UTC)."""
    if period is None:
        return None
    first, last = (datetime.fromtimestamp(end, UTC).strftime(UTC_SECONDS) for end in period)
    return {"first": first, "last": last}


def prepare(data: Records | Merged, preset: Preset) -> Prepared:
    """Applies the preset's filters.

    Args:
        data: records of a dataset, or of a dataset and events.
        preset: has the filters.

    Raises:
        TrainingError: the filters leave nothing, or, without events, only one user; or a half-life
            is set and the times are unknown.
    """
    records = data.records if isinstance(data, Merged) else data
    interactions, steps = preprocess(records, preset.filters)
    if isinstance(data, Records) and len(interactions.user_ids) == 1:
        raise TrainingError(one_user(interactions.user_ids[0], len(records.user_ids)))
    if preset.parameters.half_life is not None:
        _check_times(interactions, records.rows)  # refused before anything is measured
    user_items = interactions.user_items
    provenance = Provenance(
        records.dataset,
        records.sources,
        records.rows,
        steps,
        users=user_items.n_users,
        artists=user_items.n_items,
        pairs=user_items.nnz,
        period=records.period,
        normalized=records.normalized,
    )
    if isinstance(data, Merged):
        provenance = replace(provenance, watermark=data.watermark, events=data.counts)
    return Prepared(interactions, provenance)


def one_user(user: str, before: int) -> str:
    """Returns the message for data of one user, of whom the filters left so many."""
    what = "the data hold" if before == 1 else f"the filters leave, of {before:,} users,"
    return (
        f"{what} only the user '{shorten(user)}', and a model learns from what many users have in "
        "common. Add the data of others (in spotify, lastfm-export and listenbrainz, each account "
        "is a folder or a file of its own, and --data names the folder above them), or train on a "
        "public dataset such as lastfm-360k and send the plays of this user as listens to POST "
        "/recommend"
    )


def _check_times(interactions: Interactions, rows: RowCounts) -> None:
    """Refuses data without times; the error says whether a column of times was unreadable."""
    try:
        interactions.records()
    except TrainingError as error:
        given_up = [
            f"{count:,} rows: {note}, {rows.examples[note]}"
            for note, count in rows.noted.items()
            if note in rows.examples
        ]
        if not given_up:
            raise
        raise TrainingError(
            f"a half-life needs the time of each record, and not all could be read "
            f"({'; '.join(given_up)}). With --timestamp-column only those rows are left out"
        ) from error
