"""The model card."""

from __future__ import annotations

from fastapi import APIRouter

from app.artifact import total_bytes
from app.http.dependencies import CurrentRecommender
from app.http.problems import problem_responses
from app.http.schemas import ModelCard, Sizes
from app.http.strict_route import StrictRoute
from app.model import Model

router = APIRouter(tags=["model"], route_class=StrictRoute)


@router.get(
    "/model",
    operation_id="model",
    summary="Show what the model was made from",
    response_description="The card.",
    responses=problem_responses(503),
)
async def model(recommender: CurrentRecommender) -> ModelCard:
    """Version, data, parameters, quality and size of the model in service."""
    served, card = recommender.model, recommender.model.card
    return ModelCard(
        version=served.version,
        created_at=card["created_at"],
        code_version=card["code_version"],
        dataset=card.get("dataset") or {},
        parameters=card.get("parameters") or {},
        weighting=card["weighting"],
        metrics=card.get("metrics") or {},
        sizes=_sizes(served),
    )


def _sizes(served: Model) -> Sizes:
    return Sizes(
        users=len(served.users),
        artists=len(served.items),
        pairs=served.user_items.nnz,
        factors=served.item_factors.shape[1],
        list_length=0 if served.top_lists is None else served.top_lists.items.shape[1],
        bytes=total_bytes(served.card),
    )
