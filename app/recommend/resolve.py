"""The first step: the user of a query and their taste."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.events.activity import NO_ACTIVITY, Activity, index_units
from app.events.event_types import EventRules
from app.model.model import Model
from app.recommend.listens import Row, read_listens
from app.recommend.query import Query
from app.recommend.situation import Situation
from app.recommend.tastes import Taste

_NO_HISTORY: Final[Row] = (np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Resolved:
    """A query with its user and artists as indices.

    Attributes:
        query: the query.
        situation: the situation that it is answered in.
        user_index: the user's index; None if the model does not know them.
        seen: int64, item indices of the history, the events and the listens; in any order.
        taste: the taste to fold in; None if it is the one that the model was trained on.
    """

    query: Query
    situation: Situation
    user_index: int | None
    seen: NDArray[np.int64]
    taste: Taste | None


def resolve(query: Query, situation: Situation, rules: EventRules) -> Resolved:
    """Looks up what a query is about.

    Args:
        query: the query.
        situation: the situation that it is answered in.
        rules: how many units the listens of a user with a history count.

    Raises:
        ValueError: plays of a listen are not a number above 0.
    """
    model, activity = situation.model, query.activity or NO_ACTIVITY
    is_unknown = query.user_id is None or activity.is_erased
    user_index = None if is_unknown else model.users.index(str(query.user_id))
    history = None if user_index is None else model.user_items.row(user_index)
    recency = None if user_index is None else model.user_items.recency_of(user_index)
    listens = read_listens(query.listens, model.items) if query.listens else None
    seen = [situation.indices(activity.seen)]
    seen += [row[0].astype(np.int64) for row in (listens, history) if row is not None]
    taste = _taste_of(activity, history, recency, listens, model=model, rules=rules)
    return Resolved(query, situation, user_index, np.concatenate(seen), taste)


def _taste_of(
    activity: Activity,
    history: Row | None,
    recency: NDArray[np.float32] | None,
    listens: Row | None,
    *,
    model: Model,
    rules: EventRules,
) -> Taste | None:
    """Returns the taste to fold in, None if it is the one that the model was trained on."""
    has_history = history is not None and len(history[0]) > 0
    units = index_units(activity.units, model.items)
    if listens is not None and has_history:
        for item, plays in zip(listens[0].tolist(), listens[1].tolist(), strict=True):
            units[item] = units.get(item, 0.0) + rules.units_of_plays(plays)
    elif listens is not None:
        history, recency = listens, None
    disliked = model.items.indices(activity.disliked)
    if (
        units
        or (listens is not None and not has_history)
        or (history is not None and bool(np.isin(disliked, history[0]).any()))
    ):
        return Taste(history or _NO_HISTORY, units, disliked, recency)
    return None
