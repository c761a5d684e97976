from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from app.http import body_bounds
from app.http.body_bounds import BodyBounds
from app.schemas.artists import AvailabilityBody
from app.schemas.events import EventsBody
from app.schemas.options import BatchBody, RecommendBody

SURPLUS_VALUES, SURPLUS_FIELDS = 1_000, 20
TEXTS = st.text(st.sampled_from('ab"\\,[{]}é'), max_size=30)
VALUES = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=40,
)


def separators(value: Any) -> int:
    """How many commas and brackets a value is written with, and one for itself."""
    if not isinstance(value, list | dict):
        return 1
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(1, sum(map(separators, inner)))


def is_refused(body: bytes, values: int) -> bool:
    try:
        BodyBounds(values, 0).check(body)
    except ValueError:
        return True
    return False


# A text of ``TEXTS`` fits into any part; a longer one is refused for its length.
@given(value=VALUES, part=st.integers(6 * 30 + 1, 600))
def test_values_are_counted_wherever_a_part_ends(value: Any, part: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(body_bounds, "_PART", part)
        for ensure_ascii in (True, False):
            body = json.dumps(value, ensure_ascii=ensure_ascii).encode()
            assert not is_refused(body, separators(value))
            assert is_refused(body, separators(value) - 1)


@pytest.mark.parametrize("text", ["x", "\\", '"', "\\\\\\", "é", "\x00", ","])
def test_a_text_that_no_field_can_hold_is_refused(text: str) -> None:
    for size in (10_000, 100_000, 300_000):
        body = json.dumps({"user_id": text * (size // len(json.dumps(text)[1:-1]))}).encode()
        assert is_refused(body, 10) == (size > 2 * body_bounds._PART), size


def test_a_valid_body_is_within_its_bounds() -> None:
    ids = [f"id-{number}" for number in range(1000)]
    event = dict.fromkeys(EventsBody.model_json_schema()["$defs"]["EventIn"]["properties"], "x")
    listens = [{"artist_id": one, "plays": 1} for one in ids]
    query = dict.fromkeys(RecommendBody.model_fields, 1)
    query |= {"exclude": ids, "candidates": ids, "listens": listens}  # type: ignore[dict-item]
    largest: list[tuple[type[BaseModel], Any]] = [
        (RecommendBody, query),
        (BatchBody, dict.fromkeys(BatchBody.model_fields, 1) | {"user_ids": ids}),
        (EventsBody, {"events": [event] * 10_000}),
        (AvailabilityBody, {"available": True}),
    ]
    for model, body in largest:
        bounds = BodyBounds.of(model)
        assert bounds.values == separators(body) + SURPLUS_VALUES
        bounds.check(json.dumps(body).encode())


def test_the_fields_of_an_object_are_bounded_by_the_largest_object() -> None:
    bounds = BodyBounds.of(EventsBody)
    bounds.check_object(7 + SURPLUS_FIELDS)
    with pytest.raises(ValueError, match=r"an object with 28 fields.* more than 7"):
        bounds.check_object(7 + SURPLUS_FIELDS + 1)


def test_a_body_needs_arrays_with_a_greatest_length() -> None:
    class Boundless(BaseModel):
        names: list[str] | None = Field(default=None, min_length=1)

    with pytest.raises(TypeError, match="max_length"):
        BodyBounds.of(Boundless)
