# SPDX-License-Identifier: Apache-2.0
"""When each claim that waits is served at the latest, if everybody keeps what they have for as long as they may.

The forecast plays the future: compute comes back, deadline by deadline, and each time the queue is served as
:func:`~notebookd.domain.leasing.lease` would serve it. Two facts make a step cheap, however many wait. Which of several
GPUs of a model comes back makes no difference to the times, so the forecast counts GPUs. And those whose own quota
could hold them back are left out from the beginning, with all behind them, so a flavor's queue is strictly in order
and only the first claim of each has to be looked at.

Example: two GPUs of a model are held until 10:00 and 12:00. Carol waits for two of them, dave behind her for one. At
10:00 carol does not fit and dave is behind her. At 12:00 carol is served, and may keep both for 7 days: dave is served
7 days later, at the latest.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush

from notebookd.domain.compute import Resources
from notebookd.domain.gpu import GpuUnit, Lease
from notebookd.domain.ids import RunId
from notebookd.domain.leasing import Claim, LeasePolicy
from notebookd.domain.quota import UNBOUND
from notebookd.domain.resources import HostCompute


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """How long somebody who holds compute may keep it: the claim, and when its compute is back at the latest. None is
    for as long as its owner likes."""

    claim: Claim
    until: datetime | None


def latest_starts(
    claims: Sequence[Claim],
    inventory: Sequence[GpuUnit] | None,
    leases: Sequence[Lease],
    held: Sequence[Hold],
    policy: LeasePolicy,
    *,
    keeps_for: Mapping[RunId, timedelta | None],
    steps: int = 200,
) -> dict[RunId, datetime]:
    """The latest start of each claim for which one can be told. ``keeps_for`` says how long a claim keeps what it is
    granted (None or absent: for ever). A claim that nothing known would ever serve, or that lies beyond ``steps``
    returns of compute, is not in the answer."""
    queue = _Queue(_foreseeable(claims, [hold.claim for hold in held], policy))
    compute = _Compute(inventory or (), leases, held, policy.host)
    ends = [(hold.until, hold.claim.run_id) for hold in held if hold.until is not None]
    heapify(ends)
    starts: dict[RunId, datetime] = {}
    for _ in range(steps):
        if not ends or not queue:
            break
        now, over = heappop(ends)
        compute.take_back(over)
        for claim in queue.serve(compute):
            starts[claim.run_id] = now
            keeps = keeps_for.get(claim.run_id)
            if keeps is not None:
                heappush(ends, (now + keeps, claim.run_id))
    return starts


def _foreseeable(claims: Sequence[Claim], held: Sequence[Claim], policy: LeasePolicy) -> list[Claim]:
    """The claims whose turn can be told. Who is held back by his own quota comes ahead of those behind him as soon as
    he gives something up, however early: neither his turn nor theirs has a bound."""
    wanted: dict[str, int] = {}
    for claim in (*held, *claims):
        wanted[claim.owner] = wanted.get(claim.owner, 0) + claim.resources.gpus
    found: list[Claim] = []
    cut: set[str] = set()
    for claim in claims:
        bound = policy.quotas.get(claim.owner, UNBOUND).gpus
        if claim.resources.gpu and bound is not None and wanted[claim.owner] > bound:
            cut.add(claim.resources.flavor)
        if claim.resources.flavor not in cut:
            found.append(claim)
    return found


class _Compute:
    """What is free: GPUs by model, CPUs and memory of the CPU flavor; and what comes back of each run."""

    def __init__(
        self, inventory: Sequence[GpuUnit], leases: Sequence[Lease], held: Sequence[Hold], host: HostCompute
    ) -> None:
        leasable = {unit.uuid: unit.model for unit in inventory if unit.leasable}
        taken = {row.gpu_uuid for row in leases}
        self._free = Counter(model for uuid, model in leasable.items() if uuid not in taken)
        self._cpus, self._memory = host.cpus, host.memory_bytes
        self._gpus_of: dict[RunId, Counter[str]] = {}
        self._resources: dict[RunId, Resources] = {}
        for row in leases:
            if row.gpu_uuid in leasable:
                self._gpus_of.setdefault(row.run_id, Counter())[leasable[row.gpu_uuid]] += 1
        for hold in held:
            self._hold(hold.claim)

    def fits(self, wish: Resources) -> bool:
        """Whether that much is free."""
        if wish.gpu:
            return self._free[wish.gpu_model or ""] >= wish.gpus
        return wish.cpus <= self._cpus and wish.memory_bytes <= self._memory

    def give(self, claim: Claim) -> None:
        """Serve a claim."""
        if claim.resources.gpu:
            given = Counter({claim.resources.gpu_model or "": claim.resources.gpus})
            self._free -= given
            self._gpus_of[claim.run_id] = given
        self._hold(claim)

    def take_back(self, run_id: RunId) -> None:
        """A run ended."""
        self._free += self._gpus_of.pop(run_id, Counter())
        wish = self._resources.pop(run_id)
        if not wish.gpu:
            self._cpus += wish.cpus
            self._memory += wish.memory_bytes

    def _hold(self, claim: Claim) -> None:
        self._resources[claim.run_id] = claim.resources
        if not claim.resources.gpu:
            self._cpus -= claim.resources.cpus
            self._memory -= claim.resources.memory_bytes


class _Queue:
    """The claims that wait, in order, by flavor."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        self._by_flavor: dict[str, deque[tuple[int, Claim]]] = {}
        for rank, claim in enumerate(claims):
            self._by_flavor.setdefault(claim.resources.flavor, deque()).append((rank, claim))

    def __bool__(self) -> bool:
        return any(self._by_flavor.values())

    def serve(self, compute: _Compute) -> list[Claim]:
        """Take out and give compute to whoever can be served now: of each flavor the first ones, until one does not
        fit. Flavors of one model draw on the same GPUs, the older claim first."""
        heads = [(waiting[0][0], flavor) for flavor, waiting in self._by_flavor.items() if waiting]
        heapify(heads)
        served: list[Claim] = []
        while heads:
            _, flavor = heappop(heads)
            waiting = self._by_flavor[flavor]
            claim = waiting[0][1]
            if not compute.fits(claim.resources):
                continue
            waiting.popleft()
            compute.give(claim)
            served.append(claim)
            if waiting:
                heappush(heads, (waiting[0][0], flavor))
        return served
