from __future__ import annotations

import numpy as np
import pytest

from app.model.event_unit import EventUnit
from app.model.weighting import Weighting, WeightingName
from tests.builders import user_items_of


def test_the_median_is_that_of_the_trained_weights() -> None:
    user_items = user_items_of([[1, 2, 0], [0, 4, 3], [0, 0, 10]])
    weighting = Weighting.fit(user_items, WeightingName.LINEAR)
    unit = EventUnit.of(user_items, weighting, 2.0)
    assert unit == EventUnit(2.0, float(np.median(weighting.weigh(user_items))))


def test_of_many_pairs_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.model.event_unit.SAMPLED_PAIRS", 3)
    user_items = user_items_of([[1, 1], [2, 2], [2, 2], [9, 9]])
    weighting = Weighting.fit(user_items, WeightingName.RAW)
    assert EventUnit.of(user_items, weighting).median_weight == 5.0
