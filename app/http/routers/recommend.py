"""Lists of recommended artists."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.http.dependencies import CurrentServing
from app.http.parameters import UserIdInPath
from app.http.pieces_response import PiecesResponse
from app.http.problems import problem_responses
from app.http.strict_route import StrictRoute
from app.recommend.query import Query as RecommendQuery
from app.schemas.lists import BatchRecommendations, Recommendations
from app.schemas.options import BatchBody, RecommendBody, RecommendParameters, arguments_of
from app.serving import answers

router = APIRouter(tags=["recommend"], route_class=StrictRoute)


@router.get(
    "/recommend/{user_id}",
    operation_id="recommend",
    summary="Recommend artists to a user",
    response_description="The list.",
    response_model=Recommendations,
    responses=problem_responses(404, 503),
)
async def recommend(
    user_id: UserIdInPath,
    parameters: Annotated[RecommendParameters, Query()],
    serving: CurrentServing,
    request: Request,
) -> Response:
    """The user's best artists that they do not know yet, by their history and their events.

    A user without listening history, or an unknown one, gets popular artists with status 200;
    with `strategy=als` the answer is 404 instead.
    """
    query = RecommendQuery(user_id, **arguments_of(parameters))
    return _json(await answers.recommend(*serving, query, request.receive))


@router.post(
    "/recommend",
    operation_id="recommend_by_query",
    summary="Recommend artists by a full query",
    response_description="The list.",
    response_model=Recommendations,
    responses=problem_responses(404, 413, 415, 503),
)
async def recommend_by_query(
    body: RecommendBody,
    serving: CurrentServing,
    request: Request,
) -> Response:
    """Everything that `GET /recommend/{user_id}` can do, and more.

    The body may hold any id, many exclusions, `candidates` to rank, and `listens`: artists that the
    list is made from, which are not stored. Without `user_id` the list is for an unknown user.
    """
    query = RecommendQuery(**arguments_of(body))
    return _json(await answers.recommend(*serving, query, request.receive))


@router.post(
    "/recommend/batch",
    operation_id="recommend_batch",
    summary="Recommend artists to many users",
    response_description="The lists.",
    response_model=BatchRecommendations,
    responses=problem_responses(413, 415, 503),
)
async def recommend_batch(
    body: BatchBody,
    serving: CurrentServing,
    request: Request,
) -> Response:
    """One list for each user, equal to the answer of a single call; all from one model."""
    arguments = arguments_of(body)
    queries = [RecommendQuery(user_id, **arguments) for user_id in body.user_ids]
    return PiecesResponse(await answers.recommend_batch(*serving, queries, request.receive))


def _json(encoded: bytes) -> Response:
    return Response(encoded, media_type="application/json")
