# SPDX-License-Identifier: Apache-2.0
"""Telemetry by prometheus-client, on a registry of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from notebookd.ports.telemetry import Direction, Family

# When a series began is of no use to anybody here, and much of the text.
disable_created_metrics()  # type: ignore[no-untyped-call]

_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_TURN = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class PrometheusTelemetry:
    """See :class:`~notebookd.ports.telemetry.Telemetry`. The process's own CPU, memory and descriptors come with it."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(namespace="notebookd", registry=self._registry)
        self._answers = Histogram(
            "notebookd_api_request_duration_seconds",
            "From a request to the beginning of its answer",
            ("route", "method", "status"),
            buckets=_QUICK,
            registry=self._registry,
        )
        self._turns = Histogram(
            "notebookd_reconcile_lag_seconds",
            "From a wake to the end of the turn that took account of it",
            ("kind",),
            buckets=_TURN,
            registry=self._registry,
        )
        self._writes = Histogram(
            "notebookd_store_write_duration_seconds",
            "Write transactions, from their beginning to the commit",
            buckets=_QUICK,
            registry=self._registry,
        )
        self._moved = Counter(
            "notebookd_transfer_bytes_total", "Bytes that movers carried", ("direction",), registry=self._registry
        )
        self._transfers = Counter(
            "notebookd_transfers_ended_total", "Transfers that ended", ("kind", "state"), registry=self._registry
        )
        self._followers = Gauge("notebookd_event_followers", "Who follows the events now", registry=self._registry)
        for direction in ("in", "out"):
            self._moved.labels(direction)
        self._by_route: dict[tuple[str, str, int], Histogram] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        key = (route, method, status // 100)
        known = self._by_route.get(key)
        if known is None:
            known = self._by_route[key] = self._answers.labels(route, method, f"{key[2]}xx")
        known.observe(seconds)

    def turned(self, kind: str, seconds: float) -> None:
        """A turn ended."""
        self._turns.labels(kind).observe(seconds)

    def wrote(self, seconds: float) -> None:
        """A commit."""
        self._writes.observe(seconds)

    def moved(self, direction: Direction, count_bytes: int) -> None:
        """More bytes."""
        self._moved.labels(direction).inc(count_bytes)

    def transferred(self, kind: str, state: str) -> None:
        """A transfer ended."""
        self._transfers.labels(kind, state).inc()

    def follower(self) -> AbstractContextManager[None]:
        """One more, for a while."""
        return self._followers.track_inprogress()

    def expose(self, families: Sequence[Family], *, openmetrics: bool) -> bytes:
        """The text of everything."""
        told = _Told(self._registry, families)
        text: bytes = (generate_openmetrics if openmetrics else generate_latest)(told)
        return text


class _Told:
    """A registry with what was read beside it."""

    def __init__(self, registry: CollectorRegistry, families: Sequence[Family]) -> None:
        self._registry = registry
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        yield from map(_metric, self._families)
        yield from self._registry.collect()


def _metric(family: Family) -> Metric:
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.about, labels=family.labels)
    for labels, value in family.samples:
        metric.add_metric(labels, value)
    return metric
