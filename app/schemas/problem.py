"""The body of every error."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, Field

# How many of the things that are wrong with a request an answer names.
MOST_VIOLATIONS: Final = 20


class Violation(BaseModel):
    """One thing that is wrong with a request."""

    location: str = Field(
        description="Where: `query`, `path`, `body` or `header`, and the name in it.",
        examples=["query.n"],
    )
    message: str = Field(
        description="What is wrong there.",
        examples=["should be less than or equal to 500, found 100000"],
    )


class Problem(BaseModel):
    """The body of every error (RFC 9457), as ``application/problem+json``."""

    type: str = Field(
        description="The kind of problem: a stable URN, or `about:blank` where the status says "
        "everything.",
        examples=["urn:encore:problem:invalid-request"],
    )
    title: str = Field(description="The kind in words.", examples=["Invalid request"])
    status: int = Field(description="The HTTP status.", examples=[422])
    detail: str = Field(
        description="What was wrong, where, and what to do.",
        examples=["query.n: should be less than or equal to 500, found 100000"],
    )
    instance: str = Field(
        description="The path that was asked for, shortened when it is long.",
        examples=["/recommend/8f1c2a9e5d"],
    )
    errors: list[Violation] | None = Field(
        default=None,
        description="With status 422: each thing that is wrong, twenty at most.",
        examples=[
            [
                {
                    "location": "query.n",
                    "message": "should be less than or equal to 500, found 100000",
                }
            ]
        ],
    )
