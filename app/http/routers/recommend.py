"""Lists of recommended artists."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.http import answers
from app.http.answers import ScoringThreads
from app.http.dependencies import CurrentRecommender, Threads
from app.http.parameters import UserIdInPath
from app.http.problems import problem_responses
from app.http.schemas import (
    BatchBody,
    BatchRecommendations,
    Recommendations,
    RecommendBody,
    RecommendParameters,
)
from app.http.strict_route import StrictRoute
from app.recommender import Query as RecommendQuery
from app.recommender import Recommender

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
    recommender: CurrentRecommender,
    threads: Threads,
) -> Response:
    """The user's best artists that they do not know yet.

    A user without listening history, or an unknown one, gets popular artists with status 200;
    with `strategy=als` the answer is 404 instead.
    """
    return await _answer(recommender, threads, RecommendQuery(user_id=user_id, **dict(parameters)))


@router.post(
    "/recommend",
    operation_id="recommend_by_query",
    summary="Recommend artists by a full query",
    response_description="The list.",
    response_model=Recommendations,
    responses=problem_responses(404, 413, 503),
)
async def recommend_by_query(
    body: RecommendBody, recommender: CurrentRecommender, threads: Threads
) -> Response:
    """Everything that `GET /recommend/{user_id}` can do, and more.

    The body carries any id, long lists of exclusions, and `candidates` to rank. Without `user_id`
    the list is for somebody unknown.
    """
    return await _answer(recommender, threads, RecommendQuery(**dict(body)))


@router.post(
    "/recommend/batch",
    operation_id="recommend_batch",
    summary="Recommend artists to many users",
    response_description="The lists.",
    response_model=BatchRecommendations,
    responses=problem_responses(413, 503),
)
async def recommend_batch(
    body: BatchBody, recommender: CurrentRecommender, threads: Threads
) -> Response:
    """One list for each user, the same that a single call answers, from one model."""
    queries = [
        RecommendQuery(user_id=user_id, n=body.n, discovery=body.discovery)
        for user_id in body.user_ids
    ]
    return await threads.run(lambda: json_response(answers.recommend_batch(recommender, queries)))


async def _answer(
    recommender: Recommender, threads: ScoringThreads, query: RecommendQuery
) -> Response:
    def work() -> Response:
        return json_response(answers.recommend(recommender, query))

    return work() if answers.is_quick(recommender, query) else await threads.run(work)


def json_response(answer: Recommendations | BatchRecommendations) -> Response:
    """Encodes an answer; FastAPI would validate it once more, on the event loop."""
    return Response(answer.model_dump_json(), media_type="application/json")
