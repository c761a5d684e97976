"""Which findings of schemathesis are no failures: rules that JSON Schema cannot express.

Schemathesis loads this module.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import schemathesis

if TYPE_CHECKING:
    from schemathesis.core.failures import Failure

# What the service refuses although the schema allows it, and what it then says.
RULES: Final = {
    "a whole number is written in digits": r"should be a valid integer, found -?\d+\.0|should be a "
    "whole number in decimal digits",
    "a number in a query is written in digits, without an exponent": "should be a number in "
    "decimal digits",
    "a number just above the largest seed is equal to it as a float": f"or equal to {2**63 - 1}",
    "an id has at most 256 bytes, not characters": "at most 256 bytes",
    "a time lies between 1970 and tomorrow, on a day that exists": "lies before 19[79]0|lies more "
    "than a day in the future|should be a time",
    "a batch has at most 100,000 items": "items, more than 100,000",
}
_TOO_LONG: Final = frozenset({413, 414})
_KNOWN: Final = re.compile("|".join(RULES.values()))


@schemathesis.hook
def filter_failure(
    context: schemathesis.HookContext,
    failure: Failure,
    case: schemathesis.Case[Any],
    response: schemathesis.Response,
) -> bool:
    """Returns whether a failure counts."""
    kind, status = type(failure).__name__, response.status_code
    if kind == "AllowHeaderMismatch":
        # GET /recommend/batch is the list of a user called batch.
        return case.path != "/recommend/batch"
    if kind == "AcceptedNegativeData" and case.path == "/events" and status == 200:
        # One bad event does not lose the others of a request: it is refused in the answer.
        return bool(json.loads(response.content)["refused"] == 0)
    if kind == "AcceptedNegativeData" and status in _TOO_LONG:
        return False  # refused, for another reason than schemathesis expects
    if kind != "RejectedPositiveData" or status not in {*_TOO_LONG, 422}:
        return True
    if status in _TOO_LONG:
        return False  # no schema bounds a URL or a body as a whole; a thousand ids make a long one
    violations = json.loads(response.content)["errors"]
    return not all(_KNOWN.search(violation["message"]) for violation in violations)
