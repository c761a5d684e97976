"""Taking events: what a user just did."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError

from app.errors import EventConflict
from app.events.event import Event
from app.events.event_types import EventType
from app.http.dependencies import CurrentJournal
from app.http.problems import problem_responses, summary
from app.http.strict_route import StrictRoute
from app.schemas.events import EventResult, EventsAnswer, EventsBody, Refused
from app.store.interface import Outcome, Status

_MAY_COUNT_TWICE: Final = "it has neither event_id nor timestamp: sent again, it counts again"
_DEEDS: Final = [kind.effect.past for kind in EventType]

router = APIRouter(tags=["events"], route_class=StrictRoute)


@router.post(
    "/events",
    operation_id="add_events",
    summary=f"Tell what a user just {', '.join(_DEEDS[:-1])} or {_DEEDS[-1]}",
    response_description="The outcome of each event.",
    response_model_exclude_none=True,
    responses=problem_responses(409, 413, 415, 503),
)
async def add_events(body: EventsBody, journal: CurrentJournal) -> EventsAnswer:
    """An event with the result `stored` survives a power cut, and counts in the user's next list.

    Send a request again after an error or a lost connection: with an `event_id` (or a `timestamp`)
    an event counts once. One bad event does not lose the others: its result is `refused`. If all
    are bad, the answer is 422; if all have ids that belong to other events, it is 409.
    """
    read: list[Event | Refused] = [
        one if isinstance(one, Refused) else one.to_event() for one in body.events
    ]
    events = [one for one in read if isinstance(one, Event)]
    outcomes = iter(await journal.append(events) if events else [])
    results = [
        _refused(one) if isinstance(one, Refused) else _result(one, next(outcomes)) for one in read
    ]
    journal.counts["events_refused"] += len(read) - len(events)
    refused = sum(result.status == "refused" for result in results)
    if refused == len(results):
        _refuse_all(read, results)
    return EventsAnswer(
        stored=sum(result.status == "stored" for result in results),
        repeated=sum(result.status == "repeated" for result in results),
        refused=refused,
        results=results,
    )


def _result(event: Event, outcome: Outcome) -> EventResult:
    if outcome.status is Status.CONFLICT:
        return EventResult(
            status="refused",
            event_id=event.event_id,
            detail=f"event_id: belongs to event {outcome.sequence}, which has different content; "
            "give each event an id of its own",
        )
    return EventResult(
        status="stored" if outcome.status is Status.STORED else "repeated",
        event_id=event.event_id,
        sequence=outcome.sequence,
        detail=None if event.is_idempotent else _MAY_COUNT_TWICE,
    )


def _refused(one: Refused) -> EventResult:
    return EventResult(status="refused", event_id=one.event_id, detail=summary(one.errors))


def _refuse_all(read: list[Event | Refused], results: list[EventResult]) -> None:
    """Raises an error if nothing was stored, so that no sender takes the answer for a success."""
    if all(isinstance(one, Event) for one in read):
        more = f" (and {len(read) - 1} more)" if len(read) > 1 else ""
        raise EventConflict(f"events.0.{results[0].detail}{more}")
    errors: list[dict[str, Any]] = []
    for place, (one, result) in enumerate(zip(read, results, strict=True)):
        where = ("body", "events", place)
        if isinstance(one, Refused):
            errors += [{**error, "loc": (*where, *error["loc"])} for error in one.errors]
        else:
            message = str(result.detail).removeprefix("event_id: ")
            errors.append({"loc": (*where, "event_id"), "msg": message, "type": "value_error"})
    raise RequestValidationError(errors)
