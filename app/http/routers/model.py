"""The model card."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Final

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from app.artifacts.blocks import block_entries
from app.artifacts.manifest import total_bytes
from app.artifacts.models_folder import ModelsFolder
from app.errors import InvalidArtifact, ReportUnavailable
from app.http.dependencies import CurrentRecommender, Follower
from app.http.problems import problem_responses
from app.http.strict_route import StrictRoute
from app.model.model import Model
from app.schemas.model import BlockShown, EventUnitShown, ModelCard, Sizes, WatermarkShown
from app.settings import Settings

logger = logging.getLogger(__name__)

# The page may run and load nothing, even if an artist's name holds HTML.
_REPORT_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}

router = APIRouter(tags=["model"], route_class=StrictRoute)


@router.get(
    "/model",
    operation_id="model",
    summary="Show what the model was made from",
    response_description="The card.",
    responses=problem_responses(503),
)
async def model(recommender: CurrentRecommender, follower: Follower) -> ModelCard:
    """Version, data, parameters, quality and size of the model in service.

    `troubles` says why another version than the current one serves.
    """
    served, card = recommender.model, recommender.model.card
    return ModelCard(
        version=served.version,
        created_at=card["created_at"],
        code_version=card["code_version"],
        dataset=card.get("dataset") or {},
        parameters=card.get("parameters") or {},
        weighting=served.blocks[0].weighting.to_manifest(),
        blocks=[BlockShown(**entry) for entry in block_entries(served)],
        event_unit=EventUnitShown(**asdict(served.event_units[0])),
        event_watermark=served.watermark and WatermarkShown(**asdict(served.watermark)),
        metrics=card.get("metrics") or {},
        publication=card.get("publication"),
        sizes=_sizes(served),
        current_version=follower.wanted,
        verified=follower.is_verified,
        troubles=follower.troubles,
    )


@router.get(
    "/model/report",
    operation_id="model_report",
    summary="Show how good the model is, as a page",
    response_description="The page: HTML that needs nothing else.",
    response_class=HTMLResponse,
    responses=problem_responses(404, 503),
)
async def report(request: Request, recommender: CurrentRecommender) -> Response:
    """What training found: the data, the models compared, and a few listeners with their lists.

    404 for a model that was published without one.
    """
    settings: Settings = request.app.state.settings
    models = ModelsFolder(settings.models)
    page = await to_thread.run_sync(_read, models, recommender.model.version)
    return HTMLResponse(page, headers=_REPORT_HEADERS)


def _read(models: ModelsFolder, version: str) -> bytes:
    try:
        return models.report(version)
    except InvalidArtifact as error:
        logger.error("%s", error)
        raise ReportUnavailable(
            f"the report of model {version} is missing or has changed since it was published; "
            "lists are answered as before. `python -m training models verify` says more"
        ) from error


def _sizes(served: Model) -> Sizes:
    return Sizes(
        users=len(served.users),
        artists=len(served.items),
        pairs=served.user_items.nnz,
        factors=served.item_factors.shape[1],
        list_length=0 if served.top_lists is None else served.top_lists.items.shape[1],
        bytes=total_bytes(served.card),
    )
