from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from app.model.weighting import WeightingName
from tests.builders import PARAMETERS
from training.errors import TrainingError
from training.fitting.hyperparameters import LinearParameters


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"factors": 0}, "factors has to be at least 1, not 0"),
        ({"iterations": 0}, "iterations has to be at least 1, not 0"),
        ({"seed": -1}, "seed has to be at least 0, not -1"),
        ({"regularization": 0.0}, "regularization has to be above 0, not 0.0"),
        ({"alpha": -1.0}, "alpha has to be above 0, not -1.0"),
        ({"alpha": float("nan")}, "alpha has to be above 0, not nan"),
        ({"regularization": float("inf")}, "regularization has to be above 0, not inf"),
        ({"half_life": 0.0}, "half_life has to be above 0 days, not 0.0"),
        ({"half_life": float("inf")}, "half_life has to be above 0 days, not inf"),
        ({"fold_in_share": 0.0}, "fold_in_share has to be above 0 and at most 1, not 0.0"),
        ({"fold_in_share": 1.1}, "fold_in_share has to be above 0 and at most 1, not 1.1"),
        ({"fold_in_share": float("nan")}, "fold_in_share has to be above 0"),
        ({"b": 1.5}, "b has to lie between 0 and 1, not 1.5"),
        ({"k1": 0.0}, "k1 has to be above 0, not 0.0"),
    ],
)
def test_hyperparameters_out_of_range_are_refused_with_their_value(
    change: dict[str, Any], message: str
) -> None:
    # Was wrong: regularization 0 could end in LinAlgError, factors 0 in a model of nothing.
    with pytest.raises(TrainingError, match=message):
        replace(PARAMETERS, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": 0}, "linear_rank has to be at least 1, not 0"),
        ({"share": 0.0}, "linear_share has to be above 0, not 0.0"),
        ({"share": float("nan")}, "linear_share has to be above 0, not nan"),
        ({"c": -0.1}, "linear_c has to be at least 0, not -0.1"),
        ({"c": float("inf")}, "linear_c has to be at least 0, not inf"),
        ({"beta": 1.1}, "linear_beta has to lie between 0 and 1, not 1.1"),
        ({"item_exponent": -1.5}, "linear_item_exponent has to lie between -1 and 1, not -1.5"),
        ({"weight": 0.0}, "linear_weight has to be above 0, not 0.0; for none give linear_rank 0"),
        ({"weight": float("inf")}, "linear_weight has to be above 0, not inf"),
        ({"user_exponent": -0.5}, "linear_user_exponent has to lie between 0 and 1, not -0.5"),
        ({"weighting": WeightingName.BM25}, "has to be one of log, binary, not bm25"),
    ],
)
def test_hyperparameters_of_a_linear_block_are_refused_with_their_value(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        LinearParameters(**{"rank": 4} | change)


def test_without_factors_there_has_to_be_a_linear_block() -> None:
    with pytest.raises(TrainingError, match=r"without a linear block; give linear_rank for one"):
        replace(PARAMETERS, factors=0)
    assert replace(PARAMETERS, factors=0, linear=LinearParameters(rank=4)).factors == 0


def test_the_manifest_has_the_linear_block_only_where_there_is_one() -> None:
    linear = LinearParameters(rank=4, weight=2.0)
    entry = json.loads(json.dumps(replace(PARAMETERS, linear=linear).to_manifest()))
    assert entry.pop("linear") == {
        "rank": 4,
        "share": 0.6,
        "c": 1.0,
        "beta": 0.6,
        "item_exponent": 0.1,
        "weighting": "binary",
        "weight": 2.0,
        "user_exponent": 0.0,
    }
    assert entry == PARAMETERS.to_manifest()


def test_the_manifest_names_the_convention_of_the_confidence() -> None:
    entry = json.loads(json.dumps(PARAMETERS.to_manifest()))
    assert entry == {
        "weighting": "bm25",
        "k1": 1.0,
        "b": 0.5,
        "factors": 8,
        "regularization": 0.1,
        "relative_regularization": None,
        "alpha": 1.0,
        "iterations": 5,
        "seed": 7,
        "fold_in_share": 1.0,
        "half_life": None,
        "confidence": "1 + alpha * weight",
    }


def test_relative_regularization_is_that_share_of_the_noise_scale() -> None:
    confidence = sparse.csr_matrix(np.array([[0, 3], [0, 0]], dtype=np.float32))
    relative = replace(PARAMETERS, regularization=0.5, regularization_is_relative=True)
    resolved = relative.resolve(confidence)
    assert resolved == replace(PARAMETERS, regularization=3.0)
    assert resolved.resolve(confidence) == resolved
    assert relative.to_manifest()["regularization"] is None
    assert relative.to_manifest()["relative_regularization"] == 0.5
    assert resolved.to_manifest()["regularization"] == 3.0
    assert resolved.to_manifest()["relative_regularization"] is None


def test_fold_in_takes_its_share_of_the_resolved_regularization() -> None:
    confidence = sparse.csr_matrix(np.array([[0, 3], [0, 0]], dtype=np.float32))
    parameters = replace(
        PARAMETERS, regularization=0.5, regularization_is_relative=True, fold_in_share=0.25
    )
    resolved = parameters.resolve(confidence)
    assert resolved.regularization == 3.0
    assert resolved.fold_in_regularization == 0.75
    assert PARAMETERS.fold_in_regularization == PARAMETERS.regularization
