# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from notebookd.domain.forecast import Hold, latest_starts
from notebookd.domain.gpu import GpuState, GpuUnit, Lease, gpu_state
from notebookd.domain.ids import RunId
from notebookd.domain.leasing import Claim, Decision, LeasePolicy, WaitReason, lease
from notebookd.domain.quota import UNBOUND, QuotaRule
from notebookd.domain.resources import GIB, HostCompute
from tests.values import MODEL, NOW, after, resources

HOST = HostCompute(cpus=16, memory_bytes=64 * GIB)


def gpu(index: int, model: str = MODEL, **flags: bool) -> GpuUnit:
    return GpuUnit(uuid=f"GPU-{index}", index=index, model=model, memory_bytes=80 * GIB, **flags)


def claim(name: str, gpus: int = 1, *, owner: str = "alice", cpus: int = 4, **kind: str) -> Claim:
    return Claim(run_id=RunId(name), owner=owner, resources=resources(gpus, cpus=cpus, **kind))


def held_by(name: str, index: int) -> Lease:
    return Lease(gpu_uuid=f"GPU-{index}", run_id=RunId(name), granted_at=NOW)


def served(decision: Decision) -> dict[str, tuple[str, ...]]:
    return {grant.run_id: grant.gpus for grant in decision.grants}


def waiting(decision: Decision) -> dict[str, tuple[WaitReason, int]]:
    return {wait.run_id: (wait.reason, wait.position) for wait in decision.waits}


def decide(
    claims: list[Claim],
    units: list[GpuUnit],
    *,
    leases: tuple[Lease, ...] = (),
    held: tuple[Claim, ...] = (),
    quotas: dict[str, QuotaRule] | None = None,
    host: HostCompute = HOST,
) -> Decision:
    return lease(claims, units, leases, held, LeasePolicy(host=host, quotas=quotas or {}))


def test_gpus_are_given_by_index_in_the_order_of_the_queue() -> None:
    decision = decide([claim("a"), claim("b", 2)], [gpu(2), gpu(0), gpu(1)])
    assert served(decision) == {"a": ("GPU-0",), "b": ("GPU-1", "GPU-2")}
    assert decision.waits == ()


def test_a_gpu_with_memory_that_nobody_holds_is_given_last() -> None:
    units = [replace(gpu(0), leftover_bytes=1), gpu(1), gpu(2)]
    assert served(decide([claim("a"), claim("b", 2)], units)) == {"a": ("GPU-1",), "b": ("GPU-2", "GPU-0")}


def test_a_gpu_that_is_withheld_is_given_to_nobody() -> None:
    unit = replace(gpu(0), leftover_bytes=1, withheld=True)
    assert served(decide([claim("a")], [unit])) == {}
    assert gpu_state(unit, leased=False) is GpuState.QUARANTINED


def test_a_leased_gpu_is_not_given_again() -> None:
    decision = decide([claim("b")], [gpu(0), gpu(1)], leases=(held_by("a", 0),), held=(claim("a"),))
    assert served(decision) == {"b": ("GPU-1",)}


@pytest.mark.parametrize("flag", ["drained", "quarantined", "foreign", "lost"])
def test_a_gpu_with_something_against_it_is_not_given(flag: str) -> None:
    decision = decide([claim("a")], [gpu(0, **{flag: True})])
    assert (served(decision), waiting(decision)) == ({}, {"a": (WaitReason.GPUS, 1)})


def test_a_large_request_cannot_starve_among_small_ones() -> None:
    decision = decide(
        [claim("large", 4), claim("small"), claim("small too")],
        [gpu(index) for index in range(4)],
        leases=(held_by("x", 0),),
        held=(claim("x"),),
    )
    assert served(decision) == {}
    assert waiting(decision) == {
        "large": (WaitReason.GPUS, 1),
        "small": (WaitReason.TURN, 2),
        "small too": (WaitReason.TURN, 3),
    }


def test_a_large_request_among_small_ones_is_served_in_its_turn() -> None:
    units = [gpu(index) for index in range(4)]
    queue = [claim("s1"), claim("large", 4), claim("s2")]
    first = decide(queue, units)
    assert served(first) == {"s1": ("GPU-0",)}
    second = decide(queue[1:], units)  # s1 ended
    assert served(second) == {"large": ("GPU-0", "GPU-1", "GPU-2", "GPU-3")}
    assert waiting(second) == {"s2": (WaitReason.GPUS, 1)}


def test_flavors_do_not_wait_for_each_other() -> None:
    units = [gpu(0), gpu(1, "NVIDIA Other")]
    other = claim("b", flavor="other-1-gpu", model="NVIDIA Other")
    decision = decide([claim("a", 2), other], units)
    assert served(decision) == {"b": ("GPU-1",)}
    assert waiting(decision) == {"a": (WaitReason.GPUS, 1)}


def test_who_is_over_the_own_quota_is_passed_over() -> None:
    quotas = {"alice": QuotaRule(gpus=1)}
    decision = decide(
        [claim("a2"), claim("b", owner="bob")],
        [gpu(0), gpu(1), gpu(2)],
        leases=(held_by("a1", 0),),
        held=(claim("a1"),),
        quotas=quotas,
    )
    assert served(decision) == {"b": ("GPU-1",)}
    assert waiting(decision) == {"a2": (WaitReason.QUOTA, 1)}


def test_grants_of_this_very_decision_count_against_the_quota() -> None:
    decision = decide([claim("a1"), claim("a2")], [gpu(0), gpu(1)], quotas={"alice": QuotaRule(gpus=1)})
    assert (set(served(decision)), waiting(decision)) == ({"a1"}, {"a2": (WaitReason.QUOTA, 1)})


def test_a_quota_on_gpus_does_not_bind_cpus() -> None:
    assert set(served(decide([claim("c", 0)], [], quotas={"alice": QuotaRule(gpus=0)}))) == {"c"}


def test_cpus_do_not_wait_for_gpus() -> None:
    decision = decide([claim("g", 4), claim("c", 0)], [gpu(0)])
    assert served(decision) == {"c": ()}


def test_cpus_and_memory_are_counted() -> None:
    held = (claim("x", 0, cpus=10),)
    decision = decide([claim("a", 0, cpus=6), claim("b", 0, cpus=1)], [], held=held)
    assert set(served(decision)) == {"a"}
    assert waiting(decision) == {"b": (WaitReason.CPUS, 1)}
    little = HostCompute(cpus=16, memory_bytes=5 * GIB)
    assert waiting(decide([claim("a", 0, cpus=6)], [], host=little)) == {"a": (WaitReason.CPUS, 1)}


def test_a_small_cpu_request_does_not_overtake_a_large_one() -> None:
    decision = decide([claim("a", 0, cpus=10), claim("b", 0, cpus=1)], [], held=(claim("x", 0, cpus=8),))
    assert waiting(decision) == {"a": (WaitReason.CPUS, 1), "b": (WaitReason.TURN, 2)}


def test_gpu_notebooks_do_not_draw_on_the_cpu_pool() -> None:
    decision = decide([claim("c", 0, cpus=16)], [], held=(claim("g", 4),))
    assert set(served(decision)) == {"c"}


def test_the_board_has_one_word_for_a_gpu() -> None:
    assert gpu_state(gpu(0), leased=False) is GpuState.FREE
    assert gpu_state(gpu(0), leased=True) is GpuState.LEASED
    assert gpu_state(gpu(0, drained=True), leased=True) is GpuState.LEASED
    assert gpu_state(gpu(0, drained=True, foreign=True), leased=False) is GpuState.DRAINED
    assert gpu_state(gpu(0, foreign=True), leased=False) is GpuState.FOREIGN
    assert gpu_state(gpu(0, quarantined=True), leased=True) is GpuState.QUARANTINED
    assert gpu_state(gpu(0, quarantined=True, lost=True), leased=True) is GpuState.LOST


def test_a_quota_says_what_is_over_it() -> None:
    rule = QuotaRule(gpus=2, notebooks=3)
    assert rule.request_fault(2) is None
    assert "3 GPUs, the quota is 2" in (rule.request_fault(3) or "")
    assert rule.count_fault(2) is None
    assert "the quota is 3" in (rule.count_fault(3) or "")
    assert (rule.capped(8), rule.capped(1), UNBOUND.capped(8)) == (2, 1, 8)
    assert UNBOUND.request_fault(99) is UNBOUND.count_fault(99) is None


def test_units_of_one_flavor_are_of_one_model() -> None:
    mixed = [gpu(0), gpu(1, "NVIDIA Other"), gpu(2)]
    assert served(decide([claim("a", 2)], mixed)) == {"a": ("GPU-0", "GPU-2")}
    assert replace(mixed[0], drained=True).leasable is False


# When each is served at the latest


def foresee(
    claims: list[Claim],
    units: list[GpuUnit] | None,
    held: dict[int, tuple[Claim, datetime | None]],
    *,
    keeps_s: float | None = 100,
    quotas: dict[str, QuotaRule] | None = None,
    steps: int = 200,
) -> dict[str, datetime]:
    """``held``: who has which GPU until when. Everybody in the queue keeps what he gets for ``keeps_s``."""
    found = latest_starts(
        claims,
        units,
        [held_by(each.run_id, index) for index, (each, _) in held.items()],
        [Hold(claim=each, until=until) for each, until in dict(held.values()).items()],
        LeasePolicy(host=HOST, quotas=quotas or {}),
        keeps_for={each.run_id: None if keeps_s is None else timedelta(seconds=keeps_s) for each in claims},
        steps=steps,
    )
    return dict(found)


def test_the_queue_moves_up_by_one_at_each_deadline() -> None:
    held = {0: (claim("x"), after(30)), 1: (claim("y"), after(10))}
    starts = foresee([claim("a"), claim("b"), claim("c"), claim("d")], [gpu(0), gpu(1)], held)
    assert starts == {"a": after(10), "b": after(30), "c": after(110), "d": after(130)}


def test_who_restarts_for_ever_never_leaves() -> None:
    forever = {0: (claim("x"), None)}
    assert foresee([claim("a")], [gpu(0)], forever) == {}
    one_leaves = {**forever, 1: (claim("y"), after(10))}
    assert foresee([claim("a"), claim("b")], [gpu(0), gpu(1)], one_leaves, keeps_s=None) == {"a": after(10)}
    assert foresee([claim("a", 2)], [gpu(0), gpu(1)], one_leaves) == {}


def test_a_four_gpu_request_has_the_last_of_the_four_deadlines_and_all_behind_wait_for_it() -> None:
    held = {index: (claim(f"x{index}"), after(10 * (index + 1))) for index in range(4)}
    starts = foresee([claim("large", 4), claim("small")], [gpu(index) for index in range(4)], held)
    assert starts == {"large": after(40), "small": after(140)}


def test_who_holds_four_gpus_gives_all_four_back_at_once() -> None:
    held = dict.fromkeys(range(4), (claim("x", 4), after(10)))
    starts = foresee([claim("a"), claim("b", 3), claim("c")], [gpu(index) for index in range(4)], held)
    assert starts == {"a": after(10), "b": after(10), "c": after(110)}


def test_nobody_behind_who_is_over_the_own_quota_is_promised_a_time() -> None:
    held = {0: (claim("x"), after(100)), 1: (claim("y", owner="carol"), after(50))}
    queue = [claim("c", owner="carol"), claim("a", 2), claim("b", owner="bob")]
    starts = foresee(queue, [gpu(0), gpu(1)], held, quotas={"alice": QuotaRule(gpus=2)})
    assert starts.keys() == {"c"}, "were alice to leave early, her claim for two would come before bob's"


def test_a_grant_that_brings_its_owner_over_the_quota_lifts_his_bar_to_others_at_once() -> None:
    queue = [claim("c1", 2, owner="carol", flavor="b", model="B"), claim("a", flavor="b", model="B")]
    queue.append(claim("c2", owner="carol", flavor="a", model="A"))
    units = [gpu(0, model="A"), gpu(1, model="B")]
    decision = decide(queue, units, quotas={"carol": QuotaRule(gpus=2)})
    assert served(decision) == {"c2": ("GPU-0",), "a": ("GPU-1",)}
    assert waiting(decision) == {"c1": (WaitReason.QUOTA, 1)}


def test_a_sick_gpu_that_comes_back_serves_nobody() -> None:
    held = {0: (claim("x"), after(10)), 1: (claim("y"), after(20))}
    assert foresee([claim("a")], [gpu(0, quarantined=True), gpu(1)], held) == {"a": after(20)}
    assert foresee([claim("a", 2)], [gpu(0, quarantined=True), gpu(1)], held) == {}


def test_without_sight_of_the_gpus_nobody_is_promised_anything_but_cpus() -> None:
    held = {0: (claim("x"), after(10)), 1: (claim("c", 0, cpus=16), after(20))}
    assert foresee([claim("a"), claim("d", 0)], None, held) == {"d": after(20)}


def test_cpus_come_back_as_gpus_do() -> None:
    held = {0: (claim("x", 0, cpus=10), after(10)), 1: (claim("y", 0, cpus=6), after(20))}
    starts = foresee([claim("a", 0, cpus=12), claim("b", 0, cpus=4), claim("c", 0)], [], held)
    assert starts == {"a": after(20), "b": after(20), "c": after(120)}


def test_it_looks_so_far_and_no_further() -> None:
    held = {0: (claim("x"), after(10))}
    queue = [claim(f"run-{number}") for number in range(5)]
    assert len(foresee(queue, [gpu(0)], held, steps=3)) == 3
    assert foresee([], [gpu(0)], held) == foresee(queue, [gpu(0)], {}) == {}
