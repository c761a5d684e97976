"""Administration, behind the key."""

from __future__ import annotations

from anyio import to_thread
from fastapi import APIRouter

from app.http.dependencies import Follower
from app.http.problems import problem_responses
from app.http.strict_route import StrictRoute
from app.schemas.model import ModelVersion

router = APIRouter(
    prefix="/admin",
    tags=["admin"],
    route_class=StrictRoute,
)


@router.post(
    "/reload",
    operation_id="reload",
    summary="Look for a new model now",
    response_description="The version in service.",
    responses=problem_responses(413, 503),
)
async def reload(follower: Follower) -> ModelVersion:
    """Looks at `models/current` at once, also at a version that was refused before.

    Its files are verified again, also those of the version in service. Answers the version in
    service. 503 if the version that the pointer names cannot be used; the former version then stays
    in service, or the newest usable one takes its place. A large version serves once its checksums
    are compared, maybe after the answer. The worker process that takes the call reloads at once,
    the others within the poll interval.
    """
    return ModelVersion(model_version=await to_thread.run_sync(follower.reload))
