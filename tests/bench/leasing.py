# SPDX-License-Identifier: Apache-2.0
"""The decisions who gets which GPU, and when at the latest, by themselves: no daemon, no store."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from notebookd.domain.compute import Resources
from notebookd.domain.forecast import Hold, latest_starts
from notebookd.domain.gpu import GpuUnit, Lease
from notebookd.domain.leasing import Claim, LeasePolicy, lease
from notebookd.domain.quota import QuotaRule
from notebookd.domain.resources import HostCompute
from notebookd.domain.run import RunId
from tests.bench.figures import Figure

GPUS = 64
CLAIMS = 1000
OWNERS = 20
ROUNDS = 21
MOST_MS = 5.0
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MEMORY = 80 * 2**30


def measure_leasing() -> list[Figure]:
    """1,000 claims of one to four GPUs over 64 GPUs, twenty owners with a quota of eight each."""
    units = [GpuUnit(uuid=f"GPU-{index}", index=index, model="H100", memory_bytes=MEMORY) for index in range(GPUS)]
    claims = [_claim(number) for number in range(CLAIMS)]
    policy = LeasePolicy(
        host=HostCompute(cpus=256, memory_bytes=2**41),
        quotas={f"user-{number}": QuotaRule(gpus=8) for number in range(OWNERS)},
    )
    held = [_held(index) for index in range(GPUS)]
    leases = [
        Lease(gpu_uuid=unit.uuid, run_id=stay.claim.run_id, granted_at=NOW)
        for unit, stay in zip(units, held, strict=True)
    ]
    keeps = {claim.run_id: timedelta(days=7) for claim in claims}
    name = f"{GPUS} GPUs, {CLAIMS:,} claims"
    full = [stay.claim for stay in held]
    unbound = replace(policy, quotas={})
    return [
        _figure(f"lease(): {name}, all free", lambda: lease(claims, units, (), (), policy)),
        _figure(f"lease(): {name}, all leased", lambda: lease(claims, units, leases, full, policy)),
        _figure(
            f"latest_starts(): {name}, all leased, no quotas",
            lambda: latest_starts(claims, units, leases, held, unbound, keeps_for=keeps),
        ),
    ]


def _figure(name: str, work: Callable[[], Any], *, target: float | None = MOST_MS) -> Figure:
    taken = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begun) * 1000)
    return Figure(name=name, values=tuple(taken), unit="ms", digits=2, target=target)


def _held(index: int) -> Hold:
    """Somebody with one GPU and a deadline of his own."""
    claim = Claim(run_id=RunId(f"held-{index}"), owner=f"user-{index % OWNERS}", resources=_claim(0).resources)
    return Hold(claim=claim, until=NOW + timedelta(hours=index + 1))


def _claim(number: int) -> Claim:
    gpus = 1 + number % 4
    resources = Resources(
        flavor="h100-1-gpu",
        units=gpus,
        gpu=True,
        cpus=4 * gpus,
        memory_bytes=2**35 * gpus,
        gpu_model="H100",
        gpu_memory_bytes=MEMORY,
    )
    return Claim(run_id=RunId(f"run-{number}"), owner=f"user-{number % OWNERS}", resources=resources)
