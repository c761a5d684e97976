"""Probes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from app.schemas.primitives import Version


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = Field(default="live", description="Always `live`.", examples=["live"])


class Ready(BaseModel):
    """A usable model is in service."""

    status: Literal["ready", "degraded"] = Field(
        description="`ready`, or `degraded` while lists are answered but something else fails; "
        "without a model the answer is a 503.",
        examples=["ready"],
    )
    model_version: Version
    troubles: list[str] = Field(
        description="What fails, and what to do; empty while all is well.", examples=[[]]
    )
