"""Metrics in the format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.http.dependencies import CurrentJournal, Follower
from app.http.problems import problem_responses
from app.http.strict_route import StrictRoute
from app.serving.journal.journal import Journal
from app.serving.model_follower import ModelFollower

_RESULTS: Final = ("stored", "repeated", "conflict", "refused")

router = APIRouter(tags=["health"], route_class=StrictRoute)


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Show metrics for Prometheus",
    response_description="The metrics of the worker process that takes the call.",
    response_class=PlainTextResponse,
    responses=problem_responses(),
)
async def metrics(journal: CurrentJournal, follower: Follower) -> Response:
    """Counts since the worker process started, and the present state of store and model.

    Deaths of workers are those of the whole service, since it started.
    """
    registry = CollectorRegistry()
    registry.register(_JournalCollector(journal))
    registry.register(_ModelCollector(follower))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class _JournalCollector(Collector):
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def collect(self) -> Iterator[Metric]:
        """Yields the journal's metrics."""
        counts = self._journal.counts
        events = CounterMetricFamily("encore_events", "Events received.", labels=["result"])
        for result in _RESULTS:
            events.add_metric([result], counts[f"events_{result}"])
        yield events
        failures = CounterMetricFamily(
            "encore_event_store_failures",
            "Times that the event store could not be used.",
            labels=["reason"],
        )
        for name, count in sorted(counts.items()):
            if name.startswith("trouble_"):
                failures.add_metric([name.removeprefix("trouble_")], count)
        yield failures
        up = GaugeMetricFamily("encore_event_store_up", "1 while the event store works, else 0.")
        up.add_metric([], float(not self._journal.troubles))
        yield up
        if self._journal.is_wiped is not None:
            wiped = GaugeMetricFamily(
                "encore_event_store_wiped",
                "1 while no deleted data is left in the log of the event store, else 0.",
            )
            wiped.add_metric([], float(self._journal.is_wiped))
            yield wiped
        waiting = GaugeMetricFamily("encore_events_waiting", "Events that wait to be written.")
        waiting.add_metric([], self._journal.waiting)
        yield waiting


class _ModelCollector(Collector):
    def __init__(self, follower: ModelFollower) -> None:
        self._follower = follower

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics of the model in service and of the workers."""
        up = GaugeMetricFamily(
            "encore_model_up", "1 while the current model serves and is verified, else 0."
        )
        follower = self._follower
        up.add_metric([], float(follower.version is not None and not follower.troubles))
        yield up
        deaths = CounterMetricFamily(
            "encore_worker_deaths",
            "Worker processes that died, of the whole service.",
            labels=["reason"],
        )
        for reason, count in sorted(follower.deaths.counts.items()):
            deaths.add_metric([reason], count)
        yield deaths
