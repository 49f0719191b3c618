# SPDX-License-Identifier: Apache-2.0
"""Who gets which compute: one pure decision over the whole queue.

Order is creation order per flavor and strict: behind a run that must wait for GPUs nobody of the same flavor is
served, so that a four-GPU request cannot starve among one-GPU ones. Only a run blocked by its own owner's quota is
passed over. CPU requests do not wait for GPUs: they draw on CPUs and memory of their own pool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from notebookd.domain.compute import Resources
from notebookd.domain.gpu import GpuUnit, Lease
from notebookd.domain.ids import RunId
from notebookd.domain.quota import UNBOUND, QuotaRule
from notebookd.domain.resources import HostCompute


class WaitReason(StrEnum):
    """Why a run in the queue is not served now."""

    GPUS = "gpus"
    CPUS = "cpus"
    QUOTA = "quota"
    TURN = "turn"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A run's wish for compute. Claims come in the order in which they were created."""

    run_id: RunId
    owner: str
    resources: Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Compute given to a run: these GPUs (none for a CPU flavor)."""

    run_id: RunId
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A run that stays in the queue. ``position`` counts from 1 within its flavor."""

    run_id: RunId
    reason: WaitReason
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasePolicy:
    """Quota rule by owner, and the host whose CPUs and memory the CPU flavor shares out."""

    host: HostCompute
    quotas: Mapping[str, QuotaRule] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is granted now, and why the others wait."""

    grants: tuple[Grant, ...]
    waits: tuple[Wait, ...]


def lease(
    claims: Sequence[Claim],
    inventory: Sequence[GpuUnit] | None,
    leases: Sequence[Lease],
    held: Sequence[Claim],
    policy: LeasePolicy,
) -> Decision:
    """Decide the whole queue. ``leases`` are the active ones, ``held`` the claims already served, ``inventory`` None
    when the GPUs cannot be seen: then no GPU is given. A GPU with memory that nobody holds is given last.

    It goes through the queue until nothing more is granted: a grant of one flavor may bring its owner over his quota,
    and so lift the bar that his claim was to those behind it in another."""
    taken = {row.gpu_uuid for row in leases}
    free: dict[str, list[GpuUnit]] = {}
    for unit in sorted(inventory or (), key=lambda unit: (unit.leftover_bytes > 0, unit.index)):
        if unit.leasable and unit.uuid not in taken:
            free.setdefault(unit.model, []).append(unit)
    pool = _Pool(policy, held)
    grants: list[Grant] = []
    while True:
        decision = _walk(claims, free, pool, seen=inventory is not None)
        if not decision.grants:
            return Decision(grants=tuple(grants), waits=decision.waits)
        grants += decision.grants
        granted = {grant.run_id for grant in decision.grants}
        claims = [claim for claim in claims if claim.run_id not in granted]


def _walk(claims: Sequence[Claim], free: Mapping[str, list[GpuUnit]], pool: _Pool, *, seen: bool) -> Decision:
    """Go once through the queue; what is granted leaves ``free`` and ``pool``."""
    blocked: set[str] = set()
    positions: dict[str, int] = {}
    grants: list[Grant] = []
    waits: list[Wait] = []
    for claim in claims:
        flavor = claim.resources.flavor
        reason = _obstacle(claim, free, pool, behind=flavor in blocked)
        if reason is None:
            chosen = free.get(claim.resources.gpu_model or "", [])
            grants.append(Grant(run_id=claim.run_id, gpus=tuple(u.uuid for u in chosen[: claim.resources.gpus])))
            del chosen[: claim.resources.gpus]
            pool.take(claim)
            continue
        if reason is WaitReason.GPUS and not seen:
            reason = WaitReason.UNAVAILABLE
        if reason is not WaitReason.QUOTA:
            blocked.add(flavor)
        positions[flavor] = positions.get(flavor, 0) + 1
        waits.append(Wait(run_id=claim.run_id, reason=reason, position=positions[flavor]))
    return Decision(grants=tuple(grants), waits=tuple(waits))


class _Pool:
    """Running totals while the queue is walked: GPUs by owner, CPUs and memory of the CPU flavor."""

    def __init__(self, policy: LeasePolicy, held: Sequence[Claim]) -> None:
        self._quotas = policy.quotas
        self._cpus = policy.host.cpus
        self._memory = policy.host.memory_bytes
        self._gpus: dict[str, int] = {}
        for claim in held:
            self.take(claim)

    def take(self, claim: Claim) -> None:
        if claim.resources.gpu:
            self._gpus[claim.owner] = self._gpus.get(claim.owner, 0) + claim.resources.gpus
        else:
            self._cpus -= claim.resources.cpus
            self._memory -= claim.resources.memory_bytes

    def over_quota(self, claim: Claim) -> bool:
        bound = self._quotas.get(claim.owner, UNBOUND).gpus
        return bound is not None and self._gpus.get(claim.owner, 0) + claim.resources.gpus > bound

    def has_cpus(self, claim: Claim) -> bool:
        return claim.resources.cpus <= self._cpus and claim.resources.memory_bytes <= self._memory


def _obstacle(claim: Claim, free: Mapping[str, list[GpuUnit]], pool: _Pool, *, behind: bool) -> WaitReason | None:
    wish = claim.resources
    if not wish.gpu:
        if behind:
            return WaitReason.TURN
        return None if pool.has_cpus(claim) else WaitReason.CPUS
    if pool.over_quota(claim):
        return WaitReason.QUOTA
    if behind:
        return WaitReason.TURN
    return None if len(free.get(wish.gpu_model or "", [])) >= wish.gpus else WaitReason.GPUS
