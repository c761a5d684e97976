from __future__ import annotations

import numpy as np
import pytest

from tests.builders import user_items_of
from training.errors import TrainingError
from training.fitting.weighted import Weighted
from training.presets import DEFAULT


@pytest.mark.parametrize("plays", [1e-38, 3e38])
def test_plays_that_no_model_can_hold_are_refused(plays: float) -> None:
    # Was wrong: a warning of numpy, and a training to the end before the model was refused.
    user_items = user_items_of(np.full((2, 2), plays))
    with pytest.raises(TrainingError, match=r"the median of the plays is \d.*, and a model"):
        Weighted.of(user_items, DEFAULT.parameters)


def test_the_largest_plays_that_a_model_can_hold_are_weighted() -> None:
    weighted = Weighted.of(user_items_of(np.full((2, 2), 9e29)), DEFAULT.parameters)
    assert np.isfinite(weighted.confidence.data).all()
