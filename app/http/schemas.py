"""What requests and answers look like."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from app.id_map import encode_id
from app.recommend.query import PopularityBy, Source, Strategy

MAX_N: Final = 500
MAX_OFFSET: Final = 10_000
MAX_IDS: Final = 1000
MAX_PLAYS: Final = 1_000_000
MAX_DAYS: Final = 3650
MAX_BATCH_ITEMS: Final = 100_000

USER_ID_EXAMPLE: Final = "8f1c2a9e5d"
VERSION_EXAMPLE: Final = "20261123T150405Z-3f9c2a1b"
_DOORS: Final = "9efff43b-3b29-4082-824e-bc82f646f93d"
ARTIST_ID_EXAMPLE: Final = _DOORS
_WAITS: Final = "c3aeb863-7b26-4388-94e8-5a240f2be21b"
_FIRST_ITEM: Final = {
    "rank": 1,
    "artist_id": _DOORS,
    "name": "the doors",
    "score": 1.404213,
    "source": "als",
}
_SECOND_ITEM: Final = {
    "rank": 2,
    "artist_id": _WAITS,
    "name": "tom waits",
    "score": 1.244518,
    "source": "als",
}
_POPULAR_ITEM: Final = {
    "rank": 1,
    "artist_id": _DOORS,
    "name": "the doors",
    "listeners": 611,
    "plays": 1291387.0,
}
_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DECIMAL: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?", re.ASCII)


def check_id(text: str) -> str:
    """Returns an id that Encore can carry.

    Raises:
        InvalidId: it is too long or no valid UTF-8.
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


Id = Annotated[str, AfterValidator(check_id)]
PlainInteger = Annotated[int, BeforeValidator(_plain_integer)]
PlainDecimal = Annotated[float, BeforeValidator(_plain_decimal)]
# JSON has no enumerations: their values come as strings, in a body that is strict otherwise.
StrategyName = Annotated[Strategy, Field(strict=False)]


Discovery = Annotated[
    PlainDecimal,
    Field(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="How much the scores of popular artists are discounted: 0 not at all, 0.25 for "
        "more variety at hardly any cost in hits, 1 for a list of little-known artists. Lists of "
        "popular artists stay as they are.",
        examples=[0.25],
    ),
]
Explore = Annotated[
    PlainDecimal,
    Field(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="The share of places that go to new artists which have too few listeners to be "
        "ranked, near the user's taste: 0.1 for one in ten. Such an item has `source: explore` and "
        "no score.",
        examples=[0.1],
    ),
]
ExploreSeed = Annotated[
    PlainInteger | None,
    Field(
        ge=0,
        le=2**63 - 1,
        description="Of the choice of those artists; without it the choice is the same for a user "
        "all day (UTC), as long as the model is.",
        examples=[7],
    ),
]


class Page(BaseModel):
    """Which part of a ranking is wanted."""

    model_config = ConfigDict(extra="forbid")

    n: PlainInteger = Field(
        default=10, ge=1, le=MAX_N, description="How many artists to return.", examples=[10]
    )
    offset: PlainInteger = Field(
        default=0,
        ge=0,
        le=MAX_OFFSET,
        description="How many of the best artists to pass over; pages hold together within one "
        "model version.",
        examples=[0],
    )


class PopularParameters(Page):
    """The query of ``GET /popular``."""

    by: PopularityBy = Field(
        default=PopularityBy.LISTENERS,
        description="What counts: how many people listen, or how often they play.",
        examples=["listeners"],
    )

    days: PlainDecimal | None = Field(
        default=None,
        gt=0,
        le=MAX_DAYS,
        allow_inf_nan=False,
        description="Count the events of so many days until now; without it, what the model was "
        "trained on.",
        examples=[7],
    )


class ListOptions(Page):
    """What the list calls have in common."""

    strategy: StrategyName = Field(
        default=Strategy.AUTO,
        description="`auto` takes the best source that can answer, `als` only personal factors "
        "(404 for a user without listening history), `popularity` the same list for everyone.",
        examples=["auto"],
    )
    include_seen: bool = Field(
        default=False,
        description="Whether artists that the user already listens to may appear.",
        examples=[False],
    )
    discovery: Discovery = 0.0
    explore: Explore = 0.0
    seed: ExploreSeed = None


class RecommendParameters(ListOptions):
    """The query of ``GET /recommend/{user_id}``."""

    exclude: list[Id] = Field(
        default_factory=list,
        max_length=MAX_IDS,
        description="An artist id that must not appear; give the parameter once for each. Unknown "
        "ones are ignored.",
        examples=[[_DOORS]],
    )


class Listen(BaseModel):
    """An artist that somebody listens to."""

    model_config = ConfigDict(extra="forbid", strict=True)

    artist_id: Id = Field(
        description="The artist's id; an unknown one is ignored.", examples=[_WAITS]
    )
    plays: float = Field(
        default=1.0,
        gt=0,
        le=MAX_PLAYS,
        allow_inf_nan=False,
        description="How often they played it.",
        examples=[12],
    )


class RecommendBody(ListOptions):
    """The body of ``POST /recommend``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    user_id: Id | None = Field(
        default=None,
        description="Whom the list is for; left out or null for somebody unknown.",
        examples=[USER_ID_EXAMPLE],
    )
    exclude: list[Id] = Field(
        default_factory=list,
        max_length=MAX_IDS,
        description="Artist ids that must not appear; unknown ones are ignored.",
        examples=[[_WAITS]],
    )
    candidates: list[Id] | None = Field(
        default=None,
        max_length=MAX_IDS,
        description="If given, only these artists are ranked; unknown ones are ignored.",
        examples=[[_DOORS, _WAITS]],
    )
    listens: list[Listen] | None = Field(
        default=None,
        max_length=MAX_IDS,
        description="What they listen to; nothing of it is stored. For somebody unknown it is the "
        "history; for a user with a history it counts as events of type `play` would.",
        examples=[[{"artist_id": _WAITS, "plays": 12}]],
    )


class BatchBody(BaseModel):
    """The body of ``POST /recommend/batch``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    user_ids: list[Id] = Field(
        min_length=1,
        max_length=MAX_IDS,
        description="Whom the lists are for, in this order; unknown users get popular artists.",
        examples=[[USER_ID_EXAMPLE, "b77d01c4aa"]],
    )
    n: PlainInteger = Field(
        default=10,
        ge=1,
        le=MAX_N,
        description=f"How many artists in each list; users times n is at most {MAX_BATCH_ITEMS:,}.",
        examples=[10],
    )
    discovery: Discovery = 0.0
    explore: Explore = 0.0
    seed: ExploreSeed = None

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        if (items := len(self.user_ids) * self.n) > MAX_BATCH_ITEMS:
            raise ValueError(
                f"{len(self.user_ids)} users times n={self.n} is {items:,} items, more than "
                f"{MAX_BATCH_ITEMS:,}; send several requests"
            )
        return self


class Item(BaseModel):
    """One place of a list."""

    rank: int = Field(description="Place in the ranking, from 1 on.", examples=[1])
    artist_id: str = Field(description="The artist's id.", examples=[_DOORS])
    name: str = Field(description="The artist's display name.", examples=["the doors"])
    score: float | None = Field(
        description="Orders the artists of one source; no probability. Of `als` a dot product, "
        "discounted as `discovery` asks; of `popularity` a count; null for one that filled a list "
        "which ran short.",
        examples=[1.404213],
    )
    source: Source = Field(
        description="What put this artist here; `explore` did for a new one with few listeners.",
        examples=["als"],
    )


# Fields that several answers share.
ListOwner = Annotated[
    str | None,
    Field(
        description="Whom the list is for; null where the request named nobody.",
        examples=[USER_ID_EXAMPLE],
    ),
]
ListSource = Annotated[
    Source,
    Field(
        description="What answered: `als` for a user with listening history, `fold_in` for one "
        "with events since the training or with `listens`, else `popularity`.",
        examples=["als"],
    ),
]
ListItems = Annotated[
    list[Item],
    Field(
        description="The artists, best first; fewer than n where no more exist.",
        examples=[[_FIRST_ITEM, _SECOND_ITEM]],
    ),
]
Version = Annotated[
    str, Field(description="The published model that answered.", examples=[VERSION_EXAMPLE])
]


class UserList(BaseModel):
    """One user's list."""

    user_id: ListOwner
    source: ListSource
    items: ListItems


class Recommendations(BaseModel):
    """A list of recommended artists."""

    user_id: ListOwner
    source: ListSource
    model_version: Version
    items: ListItems


class ModelVersion(BaseModel):
    """Which model answers."""

    model_version: Version


class BatchRecommendations(BaseModel):
    """One list for each user of the request, in its order."""

    model_version: Version
    results: list[UserList] = Field(
        description="The lists, in the order of `user_ids`.",
        examples=[[{"user_id": USER_ID_EXAMPLE, "source": "als", "items": [_FIRST_ITEM]}]],
    )


class PopularItem(BaseModel):
    """One place of the popularity ranking."""

    rank: int = Field(description="Place in the ranking, from 1 on.", examples=[1])
    artist_id: str = Field(description="The artist's id.", examples=[_DOORS])
    name: str = Field(description="The artist's display name.", examples=["the doors"])
    listeners: int = Field(description="How many people listen to the artist.", examples=[611])
    plays: float = Field(description="How often they play the artist.", examples=[1291387.0])


class PopularArtists(BaseModel):
    """The most popular artists."""

    model_version: Version
    by: PopularityBy = Field(description="What counted.", examples=["listeners"])
    days: float | None = Field(
        description="Of how many days events were counted; null for the training's data.",
        examples=[None],
    )
    items: list[PopularItem] = Field(
        description="The artists, most popular first.", examples=[[_POPULAR_ITEM]]
    )


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


class EventUnitShown(BaseModel):
    """What events count in."""

    multiple: float = Field(
        description="In medians of the weights of the user's history.", examples=[3.0]
    )
    median_weight: float = Field(
        description="What stands in for somebody without a history.", examples=[0.91]
    )


class WatermarkShown(BaseModel):
    """How far a training has read an event store."""

    store: str = Field(
        description="Id of the store.", examples=["5311b6ea61d3a5493f4ef0a419877fde"]
    )
    sequence: int = Field(description="Number of the last event that was read.", examples=[48123])


class ModelCard(BaseModel):
    """What the model in service was made from, and how well it did."""

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
        description="How plays became confidence, with the statistics it was fitted on.",
        examples=[{"name": "bm25", "k1": 1.0, "b": 0.5}],
    )
    event_unit: EventUnitShown = Field(
        description="What events count in, until a training has learned them.",
        examples=[{"multiple": 3.0, "median_weight": 0.91}],
    )
    event_watermark: WatermarkShown | None = Field(
        description="Up to where events are part of the model; null where none are.",
        examples=[{"store": "5311b6ea61d3a5493f4ef0a419877fde", "sequence": 48123}],
    )
    metrics: dict[str, Any] = Field(
        description="Quality on held-out data, and how it was measured.",
        examples=[{"k": 10, "models": {"als": {"precision": 0.199, "ndcg": 0.241}}}],
    )
    publication: dict[str, Any] | None = Field(
        description="Whether publishing made it current, whether that was to be forced, and what "
        "of its data had shrunk to less than half of the version before; null for models that are "
        "older than this record.",
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


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = Field(default="live", description="Always `live`.", examples=["live"])


class Ready(BaseModel):
    """A usable model is in service."""

    status: Literal["ready", "degraded"] = Field(
        description="`ready`, or `degraded` while lists are answered but something else is in "
        "trouble; without a model the answer is a 503.",
        examples=["ready"],
    )
    model_version: Version
    troubles: list[str] = Field(
        description="What is in trouble, and what to do; empty while all is well.", examples=[[]]
    )


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
    """What every error answers (RFC 9457), as ``application/problem+json``."""

    type: str = Field(
        description="Tells kinds of problems apart: `about:blank` where the status says it all, "
        "else a stable URN.",
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
        examples=[f"/recommend/{USER_ID_EXAMPLE}"],
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
