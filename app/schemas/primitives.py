"""What several schemas share: ids, numbers, limits and examples."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from app.model.id_map import MAX_ID_BYTES, encode_id

MAX_IDS: Final = 1000
MAX_PLAYS: Final = 1_000_000
# Smaller numbers would vanish in float32, in which plays are summed and weighted.
MIN_PLAYS: Final = 0.001

USER_ID_EXAMPLE: Final = "8f1c2a9e5d"
VERSION_EXAMPLE: Final = "20261123T150405Z-3f9c2a1b"
ARTIST_ID_EXAMPLE: Final = "9efff43b-3b29-4082-824e-bc82f646f93d"
OTHER_ARTIST_ID_EXAMPLE: Final = "c3aeb863-7b26-4388-94e8-5a240f2be21b"
_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DECIMAL: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?", re.ASCII)


def check_id(text: str) -> str:
    """Returns an id that Encore can carry.

    Raises:
        InvalidId: it is too long or not valid UTF-8.
    """
    encode_id(text)
    return text


def _plain_integer(value: object) -> object:
    # Pydantic would also read "1_000", " 7 " and "3.0" from a query.
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        raise ValueError("should be a whole number in decimal digits")
    return value


def _plain_decimal(value: object) -> object:
    # Pydantic would also read "nan", "1e-1" and " .5 " from a query.
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise ValueError("should be a number in decimal digits, such as 0.25")
    return value


# JSON Schema counts characters: an id of fewer may still have too many bytes.
Id = Annotated[str, AfterValidator(check_id), Field(json_schema_extra={"maxLength": MAX_ID_BYTES})]
# Bounds stand before these two, as in `Annotated[int, Field(ge=1), PLAIN_INTEGER] | None`. Pydantic
# writes a bound that applies to a validator into the schema as `ge`, unknown to JSON Schema.
PLAIN_INTEGER: Final = BeforeValidator(_plain_integer)
PLAIN_DECIMAL: Final = BeforeValidator(_plain_decimal)
# After the bounds, so that a number with too many digits is said to be too large.
FINITE: Final = Field(allow_inf_nan=False)
PlainInteger = Annotated[int, PLAIN_INTEGER]
Version = Annotated[
    str, Field(description="The published model that answered.", examples=[VERSION_EXAMPLE])
]
