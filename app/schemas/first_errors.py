"""Lists of which only the first invalid items are reported."""

from __future__ import annotations

from typing import Any, Final

from pydantic import FailFast, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from app.schemas.problem import MOST_VIOLATIONS


def _with_first_errors(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(value)
    except ValidationError as error:
        if not error.errors(include_url=False)[0]["loc"]:
            raise  # the list itself is invalid
        first: list[Any] = _first(value, handler)
        raise ValidationError.from_exception_data(error.title, first) from None


def _first(value: Any, handler: ValidatorFunctionWrapHandler) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    start = 0
    while start < len(value) and len(found) < MOST_VIOLATIONS:
        try:
            handler(value[start:])
        except ValidationError as error:
            entries = error.errors(include_url=False)
            if not entries[0]["loc"]:
                break
            place = start + int(entries[0]["loc"][0])
            found += [
                {
                    "type": entry["type"],
                    "loc": (place, *entry["loc"][1:]),
                    "input": entry["input"],
                    "ctx": entry.get("ctx", {}),
                }
                for entry in entries
            ]
            start = place + 1
        else:
            break
    return found


class _EndsEarly(FailFast):
    # A type in a union has to have a hash, with all that it is annotated with.
    __hash__ = object.__hash__


# Both annotate a list: beyond as many invalid items as an answer reports, no more are looked at. An
# error takes several times as long as a valid item, and pydantic would make one for each.
ENDS_EARLY: Final = _EndsEarly()
FIRST_ERRORS: Final = WrapValidator(_with_first_errors)
