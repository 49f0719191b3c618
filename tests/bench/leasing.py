# SPDX-License-Identifier: Apache-2.0
"""The decision who gets which GPU, by itself: no daemon, no store."""

from __future__ import annotations

import time

from notebookd.domain.gpu import GpuUnit
from notebookd.domain.leasing import Claim, LeasePolicy, lease
from notebookd.domain.quota import QuotaRule
from notebookd.domain.resources import HostCompute
from notebookd.domain.run import Resources, RunId
from tests.bench.figures import Figure

GPUS = 64
CLAIMS = 1000
OWNERS = 20
ROUNDS = 21
MEMORY = 80 * 2**30


def measure_leasing() -> list[Figure]:
    """1,000 claims of one to four GPUs over 64 GPUs, twenty owners with a quota of eight each."""
    units = [
        GpuUnit(
            uuid=f"GPU-{index}",
            index=index,
            model="H100",
            memory_bytes=MEMORY,
            drained=False,
            quarantined=False,
            lost=False,
        )
        for index in range(GPUS)
    ]
    claims = [_claim(number) for number in range(CLAIMS)]
    policy = LeasePolicy(
        host=HostCompute(cpus=256, memory_bytes=2**41),
        quotas={f"user-{number}": QuotaRule(gpus=8) for number in range(OWNERS)},
    )
    taken = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        lease(claims, units, (), (), policy)
        taken.append((time.perf_counter() - begun) * 1000)
    return [Figure(name=f"lease(): {GPUS} GPUs, {CLAIMS:,} claims", values=tuple(taken), unit="ms", digits=2)]


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
