# SPDX-License-Identifier: Apache-2.0
"""Random lives of a machine with four GPUs: people, strangers, sickness, a silent driver, reboots, crashes anywhere.

The whole house runs in each of them, over fakes. What must hold is checked on the record, in which grants, drains and
quarantines stand in the order of their commits, against what the world truly was like.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from notebookd.domain.actor import Actor, Role
from notebookd.domain.event import Event
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.quota import QuotaRule
from notebookd.domain.run import FINAL, NotebookState
from notebookd.domain.spec import ResourceWish, SpecWish
from notebookd.errors import NotebookdError
from notebookd.ports.store import NotebookFilter
from notebookd.testing.crashing import Crash, Turnstile
from notebookd.testing.house import House, World, make_world, open_house
from tests.scenario.play import ADMIN, assert_sound, containers_of, run_of, state

GPUS = 4
PEOPLE = tuple(Actor(name=name, role=Role.OPERATOR) for name in ("alice", "bob", "carol"))
QUOTAS = {"carol": QuotaRule(gpus=2)}
STRANGERS = range(30_001, 30_005)
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Thousands of databases are made here, each synced at every commit."""
MANY = 60
"""Rounds in which everybody must have been served once all is well."""

Step = tuple[Any, ...]
number = st.integers(0, 11)
gpu = st.integers(0, GPUS - 1)
steps: st.SearchStrategy[Step] = st.one_of(
    *[st.tuples(st.just("create"), st.integers(0, 2), st.sampled_from([1, 1, 1, 2, 4]), st.booleans())] * 2,
    st.tuples(st.sampled_from(["stop", "start", "restart", "delete", "vanish", "exit"]), number),
    *[st.tuples(st.just("compute"), number, st.booleans())] * 2,
    st.tuples(st.just("kill"), number),
    st.tuples(st.just("arrive"), gpu, st.sampled_from(STRANGERS)),
    st.tuples(st.just("leave"), st.sampled_from(STRANGERS)),
    st.tuples(st.just("arrive meanwhile"), gpu, st.sampled_from(STRANGERS)),
    st.tuples(st.just("xid"), gpu, st.sampled_from([79, 31, None])),
    st.tuples(st.sampled_from(["lose", "mig", "heal", "drain", "undrain", "clear"]), gpu),
    st.tuples(st.sampled_from(["silence", "silence over"])),
    st.tuples(st.just("wait"), st.sampled_from([1, 6, 31, 61])),
    st.tuples(st.just("crash"), st.integers(1, 30)),
    st.tuples(st.just("reboot")),
)


class Reboot(Exception):
    """The host goes down."""


@dataclass(slots=True, kw_only=True)
class Life:
    """What is true of the world, whatever the daemon thinks of it."""

    world: World
    todo: deque[Step]
    bad: set[str] = field(default_factory=set)
    silent: bool = False
    strangers: dict[int, str] = field(default_factory=dict)
    own: dict[int, tuple[NotebookId, RunId, frozenset[str], bool]] = field(default_factory=dict)
    """Processes of notebooks: whose, of which run, on which GPUs, and whether they outlive their container."""
    pid: int = 1000
    checked: int = 0
    drained: set[str] = field(default_factory=set)
    quarantined: set[str] = field(default_factory=set)
    cleared: set[str] = field(default_factory=set)
    """Out of quarantine since the last check: who gave such a GPU up may have seen it there."""
    given: dict[str, str] = field(default_factory=dict)
    meanwhile: bool = False
    """Whether something befell a GPU while it was being given, so that both orders are right."""
    over: bool = False
    """Whether nothing bad happens any more."""

    # What must hold

    def check(self, house: House) -> None:
        """Everything on record since the last time; leases as they are."""
        leases = house.store.list_leases()
        assert len({lease.gpu_uuid for lease in leases}) == len(leases)
        holding = {entry.run.id for entry in house.store.list_unsettled() if entry.run.holds}
        assert {lease.run_id for lease in leases} <= holding
        for event in house.store.list_events(after=self.checked, limit=100_000, notebook_id=None, owner=None):
            self.checked = event.id
            self._check(event)
        self.meanwhile = False
        self.cleared.clear()
        self.given = {lease.gpu_uuid: lease.run_id for lease in leases}

    def _check(self, event: Event) -> None:
        uuid = str(event.data.get("gpu"))
        match event.type:
            case "gpu.drained":
                self.drained.add(uuid)
            case "gpu.undrained":
                self.drained.discard(uuid)
            case "gpu.quarantined":
                self.quarantined.add(uuid)
            case "gpu.cleared":
                self.quarantined.discard(uuid)
                self.cleared.add(uuid)
            case "lease.granted":
                self._check_grant(str(event.run_id), set(event.data["gpus"]))
            case "lease.released":
                self.given = {gpu: run for gpu, run in self.given.items() if run != event.run_id}
                for pid, (_, run, on, _) in self.own.items():
                    assert run != event.run_id or on <= self.quarantined | self.cleared | self.bad, (
                        f"given up while {pid} is on it"
                    )

    def _check_grant(self, run: str, given: set[str]) -> None:
        assert not given & self.drained, "given while drained"
        assert not given & self.quarantined, "given while in quarantine"
        assert not given & {uuid for uuid, holder in self.given.items() if holder != run}, "given twice"
        self.given |= dict.fromkeys(given, run)
        if self.meanwhile:
            return
        assert not (given and self.silent), "given while nobody can see it"
        assert not given & self.bad, "given while sick"
        assert not given & set(self.strangers.values()), "given while a stranger is on it"
        for owner, (_, of, on, _) in self.own.items():
            assert of == run or not given & on, f"given while {owner} is on it"

    # What happens

    async def play(self, house: House, step: Step) -> None:
        verb, *words = step
        deed = getattr(self, f"_{verb.replace(' ', '_')}")
        outcome = deed(house, *words)
        if isinstance(outcome, Coroutine):
            with contextlib.suppress(NotebookdError):
                await outcome
        await house.quiet()
        self.reap(house)

    def reap(self, house: House) -> None:
        """Processes end with their container, but for those that cannot be killed."""
        for pid, (notebook, run, _, stubborn) in list(self.own.items()):
            alive = any(
                each.labels["io.notebookd.run"] == run and each.pid is not None
                for each in containers_of(self.world, notebook)
            )
            if not alive and not stubborn:
                self.end(pid)

    def end(self, pid: int) -> None:
        self.own.pop(pid, None)
        self.strangers.pop(pid, None)
        self.world.gpus.end_process(pid)
        with contextlib.suppress(KeyError):
            self.world.processes.end(pid)

    def notebook(self, house: House, index: int) -> tuple[Actor, NotebookId] | None:
        entries, _ = house.store.list_entries(NotebookFilter(size=1000, sort="id"))
        if not entries:
            return None
        made = sorted(entries, key=lambda entry: entry.notebook.created_at)[index % len(entries)].notebook
        return next(person for person in PEOPLE if person.name == made.owner), made.id

    async def _create(self, house: House, person: int, gpus: int, again: bool) -> None:
        wish = SpecWish(
            editor="jupyterlab", framework="conda", resources=ResourceWish(gpu=gpus), timeout_auto_restart=again
        )
        await house.notebooks.create(PEOPLE[person], house.notebooks.check(wish), named=wish.name is not None)

    async def _order(self, house: House, index: int, order: str, **how: Any) -> None:
        if found := self.notebook(house, index):
            await getattr(house.notebooks, order)(*found, **how)

    async def _stop(self, house: House, index: int) -> None:
        await self._order(house, index, "stop")

    async def _start(self, house: House, index: int) -> None:
        await self._order(house, index, "start")

    async def _restart(self, house: House, index: int) -> None:
        await self._order(house, index, "restart")

    async def _delete(self, house: House, index: int) -> None:
        await self._order(house, index, "delete", force=True)

    def _vanish(self, house: House, index: int) -> None:
        found = self.notebook(house, index)
        for container in containers_of(self.world, found[1]) if found else ():
            del self.world.engine.containers[container.spec.name]

    def _exit(self, house: House, index: int) -> None:
        found = self.notebook(house, index)
        for container in containers_of(self.world, found[1]) if found else ():
            if container.pid is not None:
                self.world.engine.end(container.spec.name, 1)

    def _compute(self, house: House, index: int, stubborn: bool) -> None:
        found = self.notebook(house, index)
        for container in containers_of(self.world, found[1]) if found else ():
            if found is None or (init := container.pid) is None:
                continue
            self.pid += 1
            for pid in {init, self.pid}:
                self.world.processes.add(pid, user="notebookd", pid_namespace=f"4:{container.id}")
            on = frozenset(device.partition("=")[2] for device in container.spec.devices)
            for uuid in on:
                self.world.gpus.add_process(uuid, self.pid)
            self.own[self.pid] = (found[1], RunId(container.labels["io.notebookd.run"]), on, stubborn)

    def _kill(self, _house: House, index: int) -> None:
        if self.own:
            self.end(sorted(self.own)[index % len(self.own)])

    def _arrive(self, _house: House, index: int, pid: int) -> None:
        self.end(pid)
        self.strangers[pid] = self.world.gpus.uuids[index]
        self.world.processes.add(pid, user="mallory", command="train")
        self.world.gpus.add_process(self.world.gpus.uuids[index], pid)

    def _arrive_meanwhile(self, house: House, index: int, pid: int) -> None:
        """Right before the next container is made."""

        def befall() -> None:
            if not self.over:
                self.meanwhile = True
                self._arrive(house, index, pid)

        self.world.engine.before("create", befall)

    def _leave(self, _house: House, pid: int) -> None:
        self.end(pid)

    def _xid(self, _house: House, index: int, xid: int | None) -> None:
        self.world.gpus.report(self.world.gpus.uuids[index], xid, self.world.clock.now())

    def _lose(self, _house: House, index: int) -> None:
        self.bad.add(self.world.gpus.uuids[index])
        self.world.gpus.lose(self.world.gpus.uuids[index])

    def _mig(self, _house: House, index: int) -> None:
        self.bad.add(self.world.gpus.uuids[index])
        self.world.gpus.heal(self.world.gpus.uuids[index])
        self.world.gpus.set_mig(self.world.gpus.uuids[index])

    def _heal(self, _house: House, index: int) -> None:
        self.bad.discard(self.world.gpus.uuids[index])
        self.world.gpus.heal(self.world.gpus.uuids[index])

    async def _drain(self, house: House, index: int) -> None:
        await house.services.gpus.drain(ADMIN, self.world.gpus.uuids[index], drained=True)

    async def _undrain(self, house: House, index: int) -> None:
        await house.services.gpus.drain(ADMIN, self.world.gpus.uuids[index], drained=False)

    async def _clear(self, house: House, index: int) -> None:
        await house.services.gpus.clear(ADMIN, self.world.gpus.uuids[index])

    def _silence(self, _house: House) -> None:
        self.silent = True
        self.world.gpus.become_unavailable()

    def _silence_over(self, _house: House) -> None:
        self.silent = False
        self.world.gpus.become_available()

    async def _wait(self, house: House, seconds: int) -> None:
        await house.pass_time(seconds)

    def _crash(self, house: House, after: int) -> None:
        house.turnstile.arm(after)

    def _reboot(self, _house: House) -> None:
        raise Reboot


async def live(life: Life) -> None:
    """One life of the daemon after the other until nothing is left to do; then all is well, and must be."""
    while True:
        gate = Turnstile()
        try:
            async with open_house(life.world, gate) as house:
                await house.quiet()
                life.reap(house)
                life.check(house)
                while life.todo:
                    await life.play(house, life.todo.popleft())
                    life.check(house)
                gate.disarm()
                await end_well(life, house)
                return
        except Crash:
            continue
        except Reboot:
            for pid in (*life.own, *life.strangers):
                life.end(pid)
            life.world.engine.reboot()
            life.world.clock.reboot()


async def end_well(life: Life, house: House) -> None:
    """All is healed: nobody keeps what he does not use, and everybody who waits is served in the end."""
    life.over = True
    for pid in (*life.own, *life.strangers):
        life.end(pid)
    life._silence_over(house)
    for index, uuid in enumerate(life.world.gpus.uuids):
        life._heal(house, index)
        await house.services.gpus.clear(ADMIN, uuid)
        await house.services.gpus.drain(ADMIN, uuid, drained=False)
    for _ in range(4):
        await house.pass_time(31)
        life.reap(house)
    life.check(house)
    assert_sound(house)
    ended = {entry.run.id for entry in house.store.list_unsettled() if entry.run.state in FINAL}
    assert not ended & {lease.run_id for lease in house.store.list_leases()}
    wanted = [row.entry.notebook.id for row in house.services.machine.queue()]
    for _ in range(MANY):
        waiting = {row.entry.notebook.id for row in house.services.machine.queue()}
        for notebook in wanted:
            assert notebook in waiting or state(house, notebook) is not NotebookState.STARTING
        if not waiting:
            break
        await let_somebody_go(house, waiting)
        life.check(house)
    else:
        pytest.fail("somebody is never served")
    assert_sound(house)


async def let_somebody_go(house: House, waiting: set[NotebookId]) -> None:
    entries, _ = house.store.list_entries(NotebookFilter(size=1000, sort="id"))
    holding = [entry.notebook for entry in entries if entry.run.holds and entry.notebook.id not in waiting]
    assert holding, f"{waiting} wait, and everything is free: {[run_of(house, each) for each in waiting]}"
    first = min(holding, key=lambda made: made.created_at)
    await house.notebooks.stop(next(each for each in PEOPLE if each.name == first.owner), first.id)
    await house.pass_time(1)


def play(todo: Sequence[Step]) -> None:
    with tempfile.TemporaryDirectory(prefix="notebookd-test-", dir=IN_MEMORY) as folder:
        world = make_world(Path(folder), gpus=GPUS)
        world.quotas.update(QUOTAS)
        note("\n".join(map(str, todo)))
        asyncio.run(live(Life(world=world, todo=deque(todo))))


def property_of(examples: int) -> Callable[[Callable[[Sequence[Step]], None]], Callable[[], None]]:
    def decorate(test: Callable[[Sequence[Step]], None]) -> Callable[[], None]:
        limits = settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        return limits(given(st.lists(steps, min_size=12, max_size=40))(test))

    return decorate


GIVEN_BACK_AND_GIVEN_AGAIN: list[Step] = [
    ("create", 0, 1, True),
    ("create", 0, 2, True),
    ("create", 0, 1, False),
    ("arrive meanwhile", 2, STRANGERS[0]),
    ("reboot",),
]
STOPPED_UNSEEN: list[Step] = [("create", 0, 1, True), ("compute", 0, True), ("wait", 6), ("silence",), ("stop", 0)]


@example(GIVEN_BACK_AND_GIVEN_AGAIN)
@example(STOPPED_UNSEEN)
@property_of(150)
def test_in_any_life_gpus_are_given_once_and_only_when_they_may_be(todo: Sequence[Step]) -> None:
    play(todo)


@pytest.mark.long
@pytest.mark.timeout(1800)
@property_of(2000)
def test_in_two_thousand_lives_gpus_are_given_once_and_only_when_they_may_be(todo: Sequence[Step]) -> None:
    play(todo)
