"""The model in service."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from app.schemas.primitives import VERSION_EXAMPLE, Version


class ModelVersion(BaseModel):
    """Which model answers."""

    model_version: Version


class Sizes(BaseModel):
    """How large a model is."""

    users: int = Field(description="Users with factors.", examples=[1892])
    artists: int = Field(description="Artists in the catalogue.", examples=[17632])
    pairs: int = Field(description="Pairs of user and artist trained on.", examples=[92834])
    factors: int = Field(description="Length of a factor vector.", examples=[64])
    list_length: int = Field(
        description="Artists in each precomputed list; 0 without such lists.", examples=[100]
    )
    bytes: int = Field(description="Size of all files.", examples=[21034112])


class BlockShown(BaseModel):
    """A part of the vectors, with a fold-in of its own."""

    kind: str = Field(
        description="`als`: solved by least squares; `linear`: a sum of one row for each artist.",
        examples=["als"],
    )
    columns: tuple[int, int] = Field(
        description="The first of its columns in a vector, and the one after its last.",
        examples=[[0, 64]],
    )
    weighting: dict[str, Any] = Field(
        description="How it weights plays, with the statistics of the training data.",
        examples=[{"name": "bm25", "k1": 1.0, "b": 0.5}],
    )
    parameters: dict[str, float] = Field(
        description="The numbers of its fold-in.",
        examples=[{"alpha": 9.9, "regularization": 12.5, "median_weight": 0.91}],
    )


class EventUnitShown(BaseModel):
    """The unit in which events count."""

    multiple: float = Field(
        description="The unit, in medians of the weights of the user's history.", examples=[3.0]
    )
    median_weight: float = Field(
        description="The median that is used for users without a history.", examples=[0.91]
    )


class WatermarkShown(BaseModel):
    """How far a training has read an event store."""

    store: str = Field(
        description="Id of the store.", examples=["5311b6ea61d3a5493f4ef0a419877fde"]
    )
    sequence: int = Field(description="Number of the last event that was read.", examples=[48123])


class ModelCard(BaseModel):
    """What the model in service was made from, and its quality."""

    version: str = Field(description="The version.", examples=[VERSION_EXAMPLE])
    created_at: str = Field(
        description="When it was published (UTC).", examples=["2026-11-23T15:04:05Z"]
    )
    code_version: str = Field(description="Version of Encore that trained it.", examples=["0.1.0"])
    dataset: dict[str, Any] = Field(
        description="The data: name, source checksums, counts before and after each filter.",
        examples=[{"name": "hetrec-lastfm-2k"}],
    )
    parameters: dict[str, Any] = Field(
        description="The hyperparameters and the seed.",
        examples=[{"factors": 64, "regularization": 0.1, "iterations": 15, "seed": 0}],
    )
    weighting: dict[str, Any] = Field(
        description="How plays became weights, with the statistics of the training data: that of "
        "the first block.",
        examples=[{"name": "bm25", "k1": 1.0, "b": 0.5}],
    )
    blocks: list[BlockShown] = Field(
        description="What the vectors are made of, in the order of their columns. A score is the "
        "sum over all blocks; answers by any of them have the source `als`.",
        examples=[
            [
                {
                    "kind": "als",
                    "columns": [0, 64],
                    "weighting": {"name": "bm25", "k1": 1.0, "b": 0.5},
                    "parameters": {"alpha": 9.9, "regularization": 12.5, "median_weight": 0.91},
                },
                {
                    "kind": "linear",
                    "columns": [64, 128],
                    "weighting": {"name": "log", "k1": 1.0, "b": 0.5},
                    "parameters": {"user_exponent": 0.5, "weight": 1.0, "median_weight": 0.97},
                },
            ]
        ],
    )
    event_unit: EventUnitShown = Field(
        description="The unit in which events count, until a training has learned them.",
        examples=[{"multiple": 3.0, "median_weight": 0.91}],
    )
    event_watermark: WatermarkShown | None = Field(
        description="The last event that the model has learned; null where it has learned none.",
        examples=[{"store": "5311b6ea61d3a5493f4ef0a419877fde", "sequence": 48123}],
    )
    metrics: dict[str, Any] = Field(
        description="Quality on held-out data, and how it was measured.",
        examples=[{"k": 10, "models": {"als": {"precision": 0.199, "ndcg": 0.241}}}],
    )
    publication: dict[str, Any] | None = Field(
        description="Whether publishing made it current, whether that was forced, and which of its "
        "counts had shrunk to less than half of the version before; null for models that were "
        "published before this was recorded.",
        examples=[{"made_current": True, "force": False, "shrinkage": None}],
    )
    sizes: Sizes = Field(
        description="How large it is.",
        examples=[
            {
                "users": 1892,
                "artists": 17632,
                "pairs": 92834,
                "factors": 64,
                "list_length": 100,
                "bytes": 21034112,
            }
        ],
    )
    current_version: str | None = Field(
        description="The version that `models/current` names; null where it names none.",
        examples=[VERSION_EXAMPLE],
    )
    verified: bool = Field(
        description="Whether all files of the version in service have been verified.",
        examples=[True],
    )
    troubles: list[str] = Field(
        description="Why the current version does not serve, or what else is wrong with the model; "
        "empty while all is well.",
        examples=[[]],
    )
