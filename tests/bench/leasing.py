# SPDX-License-Identifier: Apache-2.0
"""The decisions who gets which GPU, and when at the latest, by themselves: no daemon, no store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from notebookd.domain.compute import Resources
from notebookd.domain.forecast import Hold, latest_starts
from notebookd.domain.gpu import GpuUnit, Lease
from notebookd.domain.ids import RunId
from notebookd.domain.leasing import Claim, LeasePolicy, lease
from notebookd.domain.quota import QuotaRule
from notebookd.domain.resources import HostCompute
from tests.bench.control import beside_loop
from tests.bench.figures import Figure

GPUS = 64
CLAIMS = 1000
OWNERS = 20
ROUNDS = 21
MOST_LOOPS = 0.65
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
    works = {
        f"lease(): {name}, all free: CPU": lambda: lease(claims, units, (), (), policy),
        f"lease(): {name}, all leased: CPU": lambda: lease(claims, units, leases, full, policy),
        f"latest_starts(): {name}, all leased, no quotas: CPU": lambda: latest_starts(
            claims, units, leases, held, unbound, keeps_for=keeps
        ),
    }
    return [
        figure for each, work in works.items() for figure in beside_loop(each, work, rounds=ROUNDS, target=MOST_LOOPS)
    ]


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
