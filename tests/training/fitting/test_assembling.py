from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.builders import PARAMETERS, interactions_of, random_plays
from training.fitting.assembling import Frame, assemble_model
from training.fitting.weighted import Weighted


def test_a_model_of_some_users_is_that_of_all_for_them(rng: np.random.Generator) -> None:
    """As convergence makes it: popularity is that of all, and so are the items in the lists."""
    plays = random_plays(rng)
    plays[:, 3] = 0
    interactions = interactions_of(plays)
    weighted = Weighted.of(interactions.user_items, PARAMETERS)
    item_factors = rng.normal(size=(40, 8)).astype(np.float32)
    frame = Frame.of(interactions)
    whole = assemble_model(frame, item_factors, weighted.weighting, weighted.parameters)
    some = replace(frame, user_items=interactions.user_items.take(np.array([4, 2])))
    part = assemble_model(some, item_factors, weighted.weighting, weighted.parameters)
    np.testing.assert_array_equal(part.user_factors, whole.user_factors[[4, 2]])
    assert part.unlistened.tolist() == whole.unlistened.tolist() == [3]
    assert not part.item_factors[3].any()
    assert item_factors[3].any()
