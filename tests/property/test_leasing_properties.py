# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from notebookd.domain.gpu import GpuUnit, Lease
from notebookd.domain.leasing import Claim, Decision, LeasePolicy, WaitReason, lease
from notebookd.domain.quota import QuotaRule
from notebookd.domain.resources import GIB, HostCompute
from notebookd.domain.run import RunId
from tests.values import NOW, resources

MODELS = ("NVIDIA A", "NVIDIA B")
OWNERS = ("alice", "bob", "carol")
HOST = HostCompute(cpus=8, memory_bytes=32 * GIB)


@dataclass(frozen=True)
class World:
    """A queue and what it queues for."""

    claims: tuple[Claim, ...]
    units: tuple[GpuUnit, ...]
    leases: tuple[Lease, ...]
    held: tuple[Claim, ...]
    quotas: dict[str, QuotaRule]

    def decide(self) -> Decision:
        return lease(self.claims, self.units, self.leases, self.held, LeasePolicy(host=HOST, quotas=self.quotas))


def a_claim(name: str, owner: str, model: str | None, units: int) -> Claim:
    wanted = resources(0, cpus=units) if model is None else resources(units, flavor=model.lower(), model=model)
    return Claim(run_id=RunId(name), owner=owner, resources=wanted)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    flags = st.booleans().map(bool)
    units = tuple(
        GpuUnit(
            uuid=f"GPU-{index}",
            index=index,
            model=draw(st.sampled_from(MODELS)),
            memory_bytes=GIB,
            drained=draw(flags) and draw(flags),
            quarantined=draw(flags) and draw(flags),
            foreign=draw(flags) and draw(flags),
            lost=draw(flags) and draw(flags),
        )
        for index in range(draw(st.integers(0, 8)))
    )
    asked = st.builds(
        a_claim,
        st.just(""),
        st.sampled_from(OWNERS),
        st.sampled_from([*MODELS, None]),
        st.integers(1, 4),
    )
    claims = draw(st.lists(asked, max_size=14))
    holders = [unit for unit in units if draw(st.booleans()) and draw(st.booleans())]
    held = tuple(a_claim(f"held-{unit.uuid}", draw(st.sampled_from(OWNERS)), unit.model, 1) for unit in holders)
    return World(
        claims=tuple(replace(each, run_id=RunId(f"run-{index}")) for index, each in enumerate(claims)),
        units=units,
        leases=tuple(
            Lease(gpu_uuid=unit.uuid, run_id=each.run_id, granted_at=NOW)
            for unit, each in zip(holders, held, strict=True)
        ),
        held=held,
        quotas={owner: QuotaRule(gpus=draw(st.one_of(st.none(), st.integers(0, 4)))) for owner in OWNERS},
    )


@given(worlds())
def test_no_gpu_is_given_twice_nor_one_that_may_not_be_given(world: World) -> None:
    decision = world.decide()
    units = {unit.uuid: unit for unit in world.units}
    given_out = [uuid for grant in decision.grants for uuid in grant.gpus]
    assert len(set(given_out)) == len(given_out)
    assert not set(given_out) & {row.gpu_uuid for row in world.leases}
    assert all(units[uuid].leasable for uuid in given_out)


@given(worlds())
def test_every_claim_is_served_in_full_or_waits(world: World) -> None:
    decision = world.decide()
    grants = {grant.run_id: grant.gpus for grant in decision.grants}
    units = {unit.uuid: unit for unit in world.units}
    assert sorted([*grants, *(wait.run_id for wait in decision.waits)]) == sorted(c.run_id for c in world.claims)
    for each in world.claims:
        if each.run_id in grants:
            assert len(grants[each.run_id]) == each.resources.gpus
            assert {units[uuid].model for uuid in grants[each.run_id]} <= {each.resources.gpu_model}


@given(worlds())
def test_nobody_overtakes_within_a_flavor(world: World) -> None:
    reasons = {wait.run_id: wait.reason for wait in world.decide().waits}
    kept_waiting: set[str] = set()
    for each in world.claims:
        reason = reasons.get(each.run_id)
        if each.resources.flavor in kept_waiting:
            assert reason is not None
        if reason not in {None, WaitReason.QUOTA}:
            kept_waiting.add(each.resources.flavor)


@given(worlds())
def test_the_head_of_a_flavor_waits_only_for_what_there_is_not(world: World) -> None:
    decision = world.decide()
    reasons = {wait.run_id: wait.reason for wait in decision.waits}
    taken = {row.gpu_uuid for row in world.leases} | {uuid for grant in decision.grants for uuid in grant.gpus}
    left = Counter(unit.model for unit in world.units if unit.leasable and unit.uuid not in taken)
    heads: set[str] = set()
    for each in world.claims:
        wish, reason = each.resources, reasons.get(each.run_id)
        if reason in {None, WaitReason.QUOTA} or wish.flavor in heads:
            continue
        heads.add(wish.flavor)
        assert reason in {WaitReason.GPUS, WaitReason.CPUS}
        if wish.gpu_model is not None:
            assert left[wish.gpu_model] < wish.gpus


@given(worlds())
def test_quotas_hold_and_say_so_only_when_they_do(world: World) -> None:
    decision = world.decide()
    granted = {grant.run_id for grant in decision.grants}
    held = Counter[str]()
    for each in world.held:
        held[each.owner] += each.resources.gpus
    before = Counter(held)
    for each in world.claims:
        if each.run_id in granted:
            held[each.owner] += each.resources.gpus
    for owner, rule in world.quotas.items():
        assert rule.gpus is None or held[owner] <= max(rule.gpus, before[owner])
    blocked = {wait.run_id for wait in decision.waits if wait.reason is WaitReason.QUOTA}
    for each in world.claims:
        if each.run_id in blocked:
            bound = world.quotas[each.owner].gpus
            assert bound is not None
            assert held[each.owner] + each.resources.gpus > bound


@given(worlds())
def test_cpus_are_not_given_twice_and_do_not_wait_for_gpus(world: World) -> None:
    decision = world.decide()
    granted = {grant.run_id for grant in decision.grants}
    cpu_claims = [each for each in world.claims if not each.resources.gpu]
    assert sum(each.resources.cpus for each in cpu_claims if each.run_id in granted) <= HOST.cpus
    alone = replace(world, claims=tuple(cpu_claims)).decide()
    assert {grant.run_id for grant in alone.grants} == granted & {each.run_id for each in cpu_claims}


@given(worlds())
def test_the_decision_is_the_same_each_time_and_positions_count_up(world: World) -> None:
    decision = world.decide()
    assert decision == world.decide()
    assert decision == replace(world, units=tuple(reversed(world.units))).decide()
    flavors = {each.run_id: each.resources.flavor for each in world.claims}
    counted: Counter[str] = Counter()
    for wait in decision.waits:
        counted[flavors[wait.run_id]] += 1
        assert wait.position == counted[flavors[wait.run_id]]


@given(worlds())
def test_carrying_a_decision_out_leaves_nothing_to_grant(world: World) -> None:
    decision = world.decide()
    grants = {grant.run_id: grant.gpus for grant in decision.grants}
    after = replace(
        world,
        claims=tuple(each for each in world.claims if each.run_id not in grants),
        held=(*world.held, *(each for each in world.claims if each.run_id in grants)),
        leases=(
            *world.leases,
            *(Lease(gpu_uuid=uuid, run_id=run, granted_at=NOW) for run, uuids in grants.items() for uuid in uuids),
        ),
    )
    assert after.decide().grants == ()


def test_a_crowd_is_served_completely_as_leases_end() -> None:
    """64 GPUs, 1000 claims of one to four: everybody is served, in order."""
    units = tuple(GpuUnit(uuid=f"GPU-{index}", index=index, model="NVIDIA A", memory_bytes=GIB) for index in range(64))
    queue = [a_claim(f"run-{index:04}", OWNERS[index % 3], "NVIDIA A", 1 + index * 7 % 4) for index in range(1000)]
    order: list[str] = []
    while queue:
        decision = World(tuple(queue), units, (), (), {}).decide()
        assert decision.grants
        order += [grant.run_id for grant in decision.grants]
        queue = [each for each in queue if each.run_id not in order]
    assert order == sorted(order)
    assert len(order) == 1000
