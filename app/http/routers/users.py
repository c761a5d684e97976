"""The history and the events of a user: shown, and erased."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from anyio import to_thread
from fastapi import APIRouter, Query

from app.errors import ModelUnavailable, UnknownUser
from app.events.event import StoredEvent
from app.http.dependencies import CurrentJournal, Follower
from app.http.parameters import UserIdInPath
from app.http.problems import problem_responses
from app.http.strict_route import StrictRoute
from app.model.model import Model
from app.model.weighting import is_used_up
from app.schemas.events import EventShown
from app.schemas.times import write_time
from app.schemas.users import PlayedInHistory, UserCard, UserErased, UserParameters
from app.serving.model_follower import ModelFollower

router = APIRouter(
    prefix="/users",
    tags=["users"],
    route_class=StrictRoute,
)


@router.get(
    "/{user_id}",
    operation_id="user",
    summary="Show what is known of a user",
    response_description="Their history and events.",
    responses=problem_responses(404, 503),
)
async def user(
    user_id: UserIdInPath,
    parameters: Annotated[UserParameters, Query()],
    follower: Follower,
    journal: CurrentJournal,
) -> UserCard:
    """The history that the model was trained on, and the user's stored events, latest first.

    Both come in pages, which go on where `next_history_offset` and `next_before` say.

    404 for a user without history and events. Behind the key, as it is personal.
    """
    count, events, names = await journal.events_of(
        user_id, limit=parameters.n, before=parameters.before
    )
    model = _model(follower)
    activity = await journal.activity_of(user_id, model)
    is_known = model is not None and not (activity is not None and activity.is_erased)
    user_index = model.users.index(user_id) if model is not None and is_known else None
    if user_index is None and not count:
        raise UnknownUser("this user is unknown: no history in the model, and no events")
    has_more = len(events) == parameters.n and events[-1].sequence > 1
    start, end = parameters.history_offset, parameters.history_offset + parameters.history_n
    history_count, history = 0, list[PlayedInHistory]()
    if model is not None and user_index is not None:
        # Sorting a long one takes longer than others should wait.
        history_count, history = await to_thread.run_sync(_history, model, user_index, start, end)
    return UserCard(
        user_id=user_id,
        model_version=None if model is None else model.version,
        is_in_model=user_index is not None,
        history_count=history_count,
        history=history,
        next_history_offset=end if end < history_count else None,
        event_count=count,
        events=[_shown(stored, names, model) for stored in events],
        next_before=events[-1].sequence if has_more else None,
    )


@router.delete(
    "/{user_id}",
    operation_id="erase_user",
    summary="Erase a user",
    response_description="What was erased, and what is to come.",
    responses=problem_responses(503),
)
async def erase_user(
    user_id: UserIdInPath, follower: Follower, journal: CurrentJournal
) -> UserErased:
    """Deletes the user's events for good; from the next answer on the user is unknown.

    Only a hash of the id is stored, so that models that hold the user's history ignore it. It is
    safe to repeat. Events that come later count as those of a new user. `to_come` names what still
    holds something of the user, and when that goes.
    """
    erased = await journal.erase(user_id)
    model = _model(follower)
    return UserErased.of(
        user_id,
        erased,
        was_in_model=model is not None and model.users.index(user_id) is not None,
        is_wiped=journal.is_wiped,
    )


def _model(follower: ModelFollower) -> Model | None:
    try:
        return follower.recommender.model
    except ModelUnavailable:
        return None


def _history(
    model: Model, user_index: int, start: int, end: int
) -> tuple[int, list[PlayedInHistory]]:
    """Returns how many artists a history has, and a part of them, most played first."""
    items, plays = model.user_items.row(user_index)
    order = np.lexsort((items, -plays))[start:end]
    return len(items), [
        PlayedInHistory(
            artist_id=model.items.id(item),
            name=model.item_names[item],
            plays=0.0 if is_used_up(count) else count,
        )
        for item, count in zip(items[order].tolist(), plays[order].tolist(), strict=True)
    ]


def _shown(stored: StoredEvent, names: Mapping[str, str], model: Model | None) -> EventShown:
    event = stored.event
    item = None if model is None else model.items.index(event.artist_id)
    name = event.artist_name or names.get(event.artist_id)
    if model is not None and item is not None:
        name = model.item_names[item]
    return EventShown(
        sequence=stored.sequence,
        event_id=event.event_id,
        artist_id=event.artist_id,
        name=name,
        type=event.type,
        plays=event.plays if event.type.carries_plays else None,
        timestamp=None if event.timestamp is None else write_time(event.timestamp),
        received_at=write_time(stored.received_at),
    )
