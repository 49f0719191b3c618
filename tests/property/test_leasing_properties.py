# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import cycle

from hypothesis import assume, given
from hypothesis import strategies as st

from notebookd.domain.forecast import Hold, latest_starts
from notebookd.domain.gpu import GpuUnit, Lease
from notebookd.domain.ids import RunId
from notebookd.domain.leasing import Claim, Decision, LeasePolicy, WaitReason, lease
from notebookd.domain.quota import QuotaRule
from notebookd.domain.resources import GIB, HostCompute
from tests.property.played_out import played_out
from tests.values import NOW, resources

MODELS = ("NVIDIA A", "NVIDIA B")
OWNERS = ("alice", "bob", "carol")
HOST = HostCompute(cpus=8, memory_bytes=32 * GIB)
FLAWS = ("drained", "quarantined", "foreign", "lost", "unsupported", "unreadable")

flaws = st.one_of(
    st.just({}), st.just({}), st.sets(st.sampled_from(FLAWS)).map(lambda names: dict.fromkeys(names, True))
)
"""What there is against a GPU; in most cases nothing."""


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
    units = tuple(
        GpuUnit(
            uuid=f"GPU-{index}",
            index=index,
            model=draw(st.sampled_from(MODELS)),
            memory_bytes=GIB,
            **draw(flaws),
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
    for uuid in given_out:
        assert not any(getattr(units[uuid], flaw) for flaw in FLAWS)


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


# The future: who is served when at the latest


@dataclass(frozen=True)
class Future:
    """A queue of one flavor whose owners' quotas let everybody be served, and how long each keeps what he has."""

    claims: tuple[Claim, ...]
    units: tuple[GpuUnit, ...]
    held: tuple[Hold, ...]
    leases: tuple[Lease, ...]
    keeps: dict[RunId, timedelta | None]

    def latest(self) -> dict[RunId, datetime]:
        return latest_starts(
            self.claims, self.units, self.leases, self.held, LeasePolicy(host=HOST), keeps_for=self.keeps, steps=1000
        )

    def unfold(self, fractions: list[float]) -> dict[RunId, datetime]:
        """When each is served if everybody leaves after that part of the time he may stay. Who may stay for ever
        does."""
        now, waiting, starts = NOW, list(self.claims), dict[RunId, datetime]()
        leases, held = list(self.leases), [stay.claim for stay in self.held]
        part = cycle(fractions)
        leaving = [(NOW + (s.until - NOW) * next(part), s.claim.run_id) for s in self.held if s.until is not None]
        while True:
            policy = LeasePolicy(host=HOST)
            for grant in lease(waiting, self.units, leases, held, policy).grants:
                claim = next(each for each in waiting if each.run_id == grant.run_id)
                waiting.remove(claim)
                held.append(claim)
                leases += [Lease(gpu_uuid=uuid, run_id=claim.run_id, granted_at=now) for uuid in grant.gpus]
                starts[claim.run_id] = now
                keeps = self.keeps[claim.run_id]
                if keeps is not None:
                    leaving.append((now + keeps * next(part), claim.run_id))
            if not leaving:
                return starts
            now, over = min(leaving)
            leaving.remove((now, over))
            leases = [row for row in leases if row.run_id != over]
            held = [each for each in held if each.run_id != over]


lengths = st.one_of(st.none(), st.integers(1, 10).map(lambda hours: timedelta(hours=hours)))


@st.composite
def futures(draw: st.DrawFn) -> Future:
    units = tuple(
        GpuUnit(uuid=f"GPU-{n}", index=n, model="NVIDIA A", memory_bytes=GIB, **draw(flaws))
        for n in range(draw(st.integers(1, 6)))
    )
    holders = [unit for unit in units if draw(st.booleans())]
    held = tuple(
        Hold(
            claim=a_claim(f"held-{unit.index}", "alice", "NVIDIA A", 1),
            until=None if (length := draw(lengths)) is None else NOW + length,
        )
        for unit in holders
    )
    claims = tuple(
        a_claim(f"run-{n}", draw(st.sampled_from(OWNERS)), draw(st.sampled_from(["NVIDIA A"] * 4 + [None])), size)
        for n, size in enumerate(draw(st.lists(st.integers(1, 4), max_size=10)))
    )
    leases = tuple(
        Lease(gpu_uuid=unit.uuid, run_id=stay.claim.run_id, granted_at=NOW)
        for unit, stay in zip(holders, held, strict=True)
    )
    return Future(claims, units, held, leases, {each.run_id: draw(lengths) for each in claims})


@given(futures(), worlds())
def test_a_forecast_is_what_comes_of_asking_again_and_again(future: Future, world: World) -> None:
    keeps = future.keeps | {claim.run_id: timedelta(hours=index % 5 + 1) for index, claim in enumerate(world.claims)}
    ends = [NOW + timedelta(hours=hours) for hours in (3, 1, 4, 1, 5, 9, 2, 6)]
    stays = [Hold(claim=claim, until=ends[index % 8]) for index, claim in enumerate(world.held)]
    policy = LeasePolicy(host=HOST, quotas=world.quotas)
    for asked in (
        (future.claims, future.units, future.leases, future.held, LeasePolicy(host=HOST)),
        (world.claims, world.units, world.leases, stays, policy),
    ):
        assert latest_starts(*asked, keeps_for=keeps) == played_out(*asked, keeps_for=keeps)


@given(futures(), st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_nobody_is_served_later_than_was_said_if_all_leave_in_time(future: Future, fractions: list[float]) -> None:
    said = future.latest()
    starts = future.unfold(fractions)
    for run_id, at in said.items():
        assert run_id in starts, "who was given a time is served"
        assert starts[run_id] <= at


@given(futures())
def test_what_is_said_is_what_comes_if_all_stay_as_long_as_they_may(future: Future) -> None:
    """The bound is met: a shorter one would be wrong. Who could be served at once is, at the next moment looked at."""
    said = future.latest()
    starts = future.unfold([1.0])
    assert set(said) <= set(starts)
    assume(
        not lease(
            future.claims, future.units, future.leases, [s.claim for s in future.held], LeasePolicy(host=HOST)
        ).grants
    )
    assert said == starts


@given(futures())
def test_who_stands_behind_is_not_promised_an_earlier_start(future: Future) -> None:
    said = future.latest()
    for flavor in {each.resources.flavor for each in future.claims}:
        queue = [each.run_id for each in future.claims if each.resources.flavor == flavor]
        promised = [said.get(run_id) for run_id in queue]
        known = [at for at in promised if at is not None]
        assert known == sorted(known)
        assert promised == [*known, *[None] * (len(promised) - len(known))], "behind who has no time nobody has one"


@given(futures(), st.integers(0, 5))
def test_looking_less_far_says_less_and_nothing_else(future: Future, steps: int) -> None:
    policy = LeasePolicy(host=HOST)
    near = latest_starts(
        future.claims, future.units, future.leases, future.held, policy, keeps_for=future.keeps, steps=steps
    )
    assert near.items() <= future.latest().items()


@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 5))
def test_a_large_request_in_a_stream_of_small_ones_is_served_in_its_turn(before: int, behind: int, more: int) -> None:
    """Small requests come all the time, and GPUs come free one by one."""
    units = tuple(GpuUnit(uuid=f"GPU-{n}", index=n, model="NVIDIA A", memory_bytes=GIB) for n in range(3 + more))
    sizes = [*[1] * before, 4, *[1] * behind]
    queue = [a_claim(f"run-{n:02}", "alice", "NVIDIA A", size) for n, size in enumerate(sizes)]
    large = next(each.run_id for each in queue if each.resources.units == 4)
    leases: list[Lease] = []
    served: list[str] = []
    for turn in range(100):
        decision = lease(queue, units, leases, [], LeasePolicy(host=HOST))
        for grant in decision.grants:
            served.append(grant.run_id)
            leases += [Lease(gpu_uuid=uuid, run_id=grant.run_id, granted_at=NOW) for uuid in grant.gpus]
        queue = [each for each in queue if each.run_id not in served]
        queue.append(a_claim(f"run-later-{turn:03}", "bob", "NVIDIA A", 1))
        if large in served:
            break
        leases = leases[1:]  # one GPU comes free at a time
    assert large in served
    assert served == sorted(served), "and nobody overtakes"
