# SPDX-License-Identifier: Apache-2.0
"""Latest starts by asking the lease function itself at each moment of the future: slow, and plainly right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush

from notebookd.domain.forecast import Hold, _foreseeable
from notebookd.domain.gpu import GpuUnit, Lease
from notebookd.domain.ids import RunId
from notebookd.domain.leasing import Claim, LeasePolicy, lease


def played_out(
    claims: Sequence[Claim],
    inventory: Sequence[GpuUnit] | None,
    leases: Sequence[Lease],
    held: Sequence[Hold],
    policy: LeasePolicy,
    *,
    keeps_for: Mapping[RunId, timedelta | None],
    steps: int = 200,
) -> dict[RunId, datetime]:
    """When each waiting claim is granted at the latest, if everybody keeps what he has for as long as he may.

    It plays the future: at each moment at which compute comes back, :func:`lease` is asked again. ``keeps_for`` says
    how long a claim keeps what it is granted (None or absent: for ever). A claim that nothing known would ever serve,
    or that lies beyond ``steps`` returns, is not in the answer."""
    waiting = _foreseeable(claims, [hold.claim for hold in held], policy)
    active, holds = list(leases), list(held)
    ends = [(hold.until, hold.claim.run_id) for hold in holds if hold.until is not None]
    heapify(ends)
    starts: dict[RunId, datetime] = {}
    for _ in range(steps):
        if not ends or not waiting:
            break
        now, over = heappop(ends)
        active = [row for row in active if row.run_id != over]
        holds = [hold for hold in holds if hold.claim.run_id != over]
        granted = {
            each.run_id: each.gpus
            for each in lease(waiting, inventory, active, [hold.claim for hold in holds], policy).grants
        }
        for claim in [each for each in waiting if each.run_id in granted]:
            starts[claim.run_id] = now
            keeps = keeps_for.get(claim.run_id)
            until = None if keeps is None else now + keeps
            holds.append(Hold(claim=claim, until=until))
            active += [Lease(gpu_uuid=uuid, run_id=claim.run_id, granted_at=now) for uuid in granted[claim.run_id]]
            if until is not None:
                heappush(ends, (until, claim.run_id))
        waiting = [each for each in waiting if each.run_id not in granted]
    return starts
