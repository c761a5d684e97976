"""Models for the tests of the steps of a list."""

from __future__ import annotations

import pytest

from app.model.model import Model
from tests.app.recommend.expected import (
    PLAYS,
    large_model,
    large_model_of_blocks,
)
from tests.builders import (
    interactions_of,
    small_model,
)
from training.fitting.top_lists import with_top_lists


@pytest.fixture(scope="module")
def plain() -> Model:
    """A model without precomputed lists."""
    return small_model(interactions_of(PLAYS), factors=3)


@pytest.fixture(scope="module")
def listed(plain: Model) -> Model:
    """The same with lists of two."""
    return with_top_lists(plain, 2)


@pytest.fixture(scope="module", params=[large_model, large_model_of_blocks])
def many(request: pytest.FixtureRequest) -> Model:
    """A model of ALS alone, and one with a linear block as well."""
    model: Model = request.param()
    return model
