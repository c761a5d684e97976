"""Taking events: what a user just did."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from fastapi import APIRouter, Response
from fastapi.exceptions import RequestValidationError

from app.errors import EventConflict
from app.events.event import Event
from app.events.event_types import EventType
from app.http.dependencies import CurrentJournal
from app.http.problems import problem_responses, summary
from app.http.strict_route import StrictRoute
from app.schemas.events import EventResult, EventsAnswer, EventsBody, read_event
from app.schemas.problem import MOST_VIOLATIONS
from app.serving.pieces import in_pieces
from app.store.interface import Outcome, Status

# A request whose first entries are all wrong is refused without a look at the others: to say what
# is wrong with 10,000 takes a tenth of a second.
_FIRST_ENTRIES: Final = 1_000
_MAY_COUNT_TWICE: Final = "it has neither event_id nor timestamp: sent again, it counts again"
_DEEDS: Final = [kind.effect.past for kind in EventType]

router = APIRouter(tags=["events"], route_class=StrictRoute)


@router.post(
    "/events",
    operation_id="add_events",
    summary=f"Tell what a user just {', '.join(_DEEDS[:-1])} or {_DEEDS[-1]}",
    response_description="The outcome of each event.",
    response_model=EventsAnswer,
    responses=problem_responses(409, 413, 415, 503),
)
async def add_events(body: EventsBody, journal: CurrentJournal) -> Response:
    """An event with the result `stored` survives a power cut, and counts in the user's next list.

    Send a request again after an error or a lost connection: with an `event_id` (or a `timestamp`)
    an event counts once. One bad event does not lose the others: its result is `refused`. If all
    are bad, or the first 1,000, nothing is stored, and the answer is 422; if all have ids that
    belong to other events, it is 409.
    """
    read = _Read()
    await in_pieces(read.add, body.events[:_FIRST_ENTRIES])
    if len(body.events) > _FIRST_ENTRIES:
        if not read.events:
            journal.counts["events_refused"] += len(body.events)
            raise RequestValidationError(read.errors)
        await in_pieces(read.add, body.events[_FIRST_ENTRIES:])
    outcomes = await journal.append(read.events) if read.events else []
    journal.counts["events_refused"] += len(read.results) - len(outcomes)
    results = _Results(read)
    await in_pieces(results.add, outcomes)
    if results.counts["refused"] == len(body.events):
        _refuse_all(read, results)
    return results.answer()


class _Read:
    """The entries of a request, as far as they have been read.

    Of entries that are no events little stays in memory, and nothing that takes long to free.

    Attributes:
        events: the events.
        results: for each entry the result as JSON; None for an event.
        errors: what is wrong with the first entries that are no events, as pydantic says it.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.results: list[bytes | None] = []
        self.errors: list[dict[str, Any]] = []

    def add(self, entry: Any) -> None:
        """Reads the next entry."""
        one = read_event(entry)
        if isinstance(one, Event):
            self.events.append(one)
            self.results.append(None)
            return
        if len(self.errors) < MOST_VIOLATIONS:
            where = ("body", "events", len(self.results))
            self.errors += [{**error, "loc": (*where, *error["loc"])} for error in one.errors]
        result = EventResult(status="refused", event_id=one.event_id, detail=summary(one.errors))
        self.results.append(_encode(result))


class _Results:
    """The results of a request, which are written while the outcomes are gone through.

    Attributes:
        counts: results by status.
        conflicts: the places and reasons of the first events whose ids belong to other events.
    """

    def __init__(self, read: _Read) -> None:
        self._events = iter(read.events)
        self._encoded = read.results
        self._open = (place for place, one in enumerate(read.results) if one is None)
        self.counts = Counter({"refused": len(read.results) - len(read.events)})
        self.conflicts: list[tuple[int, str]] = []

    def add(self, outcome: Outcome) -> None:
        """Takes the outcome of the next event."""
        place, result = next(self._open), _result(next(self._events), outcome)
        self.counts[result.status] += 1
        self._encoded[place] = _encode(result)
        if result.status == "refused" and len(self.conflicts) < MOST_VIOLATIONS:
            self.conflicts.append((place, str(result.detail)))

    def answer(self) -> Response:
        """Returns the answer, the JSON of ``EventsAnswer``."""
        counts, encoded = self.counts, b",".join(one for one in self._encoded if one is not None)
        return Response(
            b'{"stored":%d,"repeated":%d,"refused":%d,"results":[%b]}'
            % (counts["stored"], counts["repeated"], counts["refused"], encoded),
            media_type="application/json",
        )


def _encode(result: EventResult) -> bytes:
    return result.model_dump_json(exclude_none=True).encode()


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


def _refuse_all(read: _Read, results: _Results) -> None:
    """Raises an error if nothing was stored, so that no sender takes the answer for a success."""
    if not read.errors:
        count = len(read.results)
        more = f" (and {count - 1} more)" if count > 1 else ""
        raise EventConflict(f"events.0.{results.conflicts[0][1]}{more}")
    errors = read.errors + [
        {
            "loc": ("body", "events", place, "event_id"),
            "msg": detail.removeprefix("event_id: "),
            "type": "value_error",
        }
        for place, detail in results.conflicts
    ]
    raise RequestValidationError(sorted(errors, key=lambda error: int(error["loc"][2])))
