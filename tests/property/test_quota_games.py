# SPDX-License-Identifier: Apache-2.0
"""Somebody tries to have more than their quota: by many requests at once, by changing, renaming, forking and deleting
what is just starting, by restarts in a loop, while the daemon dies now and then.

What they hold is reckoned from the record, where grants and releases stand in the order of their commits.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import Counter, deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from notebookd.domain.actor import Actor, Role
from notebookd.domain.notebook import Notebook
from notebookd.domain.patch import Patch
from notebookd.domain.quota import QuotaRule
from notebookd.domain.run import NotebookId
from notebookd.domain.spec import ResourceWish, SpecWish
from notebookd.errors import NotebookdError
from notebookd.ports.store import NotebookFilter
from notebookd.testing.crashing import Crash, Turnstile
from notebookd.testing.house import House, World, make_world, open_house
from tests.scenario.play import assert_sound

GPUS = 4
MALLORY = Actor(name="mallory", role=Role.OPERATOR)
BOB = Actor(name="bob", role=Role.OPERATOR)
QUOTA = QuotaRule(gpus=2, notebooks=3)
NAMES = ("one", "two")
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None

Deed = tuple[Any, ...]
which = st.integers(0, 3)
deeds: st.SearchStrategy[Deed] = st.one_of(
    *[st.tuples(st.just("create"), st.sampled_from([1, 1, 2, 3]), st.booleans())] * 2,
    st.tuples(st.just("patch"), which, st.sampled_from([1, 2, 3])),
    st.tuples(st.just("rename"), which, st.sampled_from(NAMES)),
    *[st.tuples(st.sampled_from(["start", "stop", "restart", "fork"]), which)] * 2,
    st.tuples(st.just("delete"), which, st.booleans()),
)
steps: st.SearchStrategy[Deed] = st.one_of(
    *[st.tuples(st.just("at once"), st.lists(deeds, min_size=1, max_size=8))] * 4,
    st.tuples(st.just("wait"), st.sampled_from([0, 1, 31, 700])),
    st.tuples(st.just("exit"), which),
    st.tuples(st.just("bob"), st.sampled_from([1, 2])),
    st.tuples(st.just("crash"), st.integers(1, 40)),
)


@dataclass(slots=True, kw_only=True)
class Game:
    """What Mallory has, as the record tells it."""

    world: World
    todo: deque[Deed]
    seen: int = 0
    held: dict[str, int] = field(default_factory=dict)
    most: int = 0

    def check(self, house: House) -> None:
        for event in house.store.list_events(after=self.seen, limit=100_000, notebook_id=None, owner=None):
            self.seen = event.id
            if event.owner != MALLORY.name:
                continue
            if event.type == "lease.granted":
                self.held[str(event.run_id)] = len(event.data["gpus"])
            elif event.type == "lease.released":
                self.held.pop(str(event.run_id), None)
            self.most = max(self.most, sum(self.held.values()))
            assert sum(self.held.values()) <= 2, f"{self.held} are held at once"
        mine = self.mine(house)
        assert len(mine) <= 3, "more notebooks than may be"
        chosen = Counter(each.spec.name for each in mine if each.spec.name in NAMES)
        assert max(chosen.values(), default=1) == 1, f"two have the name that was asked for: {chosen}"

    def mine(self, house: House) -> list[Notebook]:
        entries, _ = house.store.list_entries(NotebookFilter(size=100, owner=MALLORY.name))
        return sorted((each.notebook for each in entries), key=lambda notebook: (notebook.created_at, notebook.id))

    async def play(self, house: House, step: Deed) -> None:
        match step:
            case ("at once", several):
                mine = [each.id for each in self.mine(house)]
                async with asyncio.TaskGroup() as tasks:
                    for deed in several:
                        if (doing := self.deed(house, mine, deed)) is not None:
                            tasks.create_task(attempt(doing))
            case ("wait", seconds):
                await house.pass_time(seconds)
            case ("exit", index):
                containers = list(self.world.engine.containers.values())
                if containers and (found := containers[index % len(containers)]).pid is not None:
                    self.world.engine.end(found.spec.name, 1)
            case ("bob", gpus):
                await attempt(house.notebooks.create(BOB, house.notebooks.check(wish(gpus)), named=False))
            case ("crash", after):
                house.turnstile.arm(after)
        await house.quiet()

    def deed(self, house: House, mine: Sequence[NotebookId], deed: Deed) -> Coroutine[Any, Any, Any] | None:
        do = house.notebooks
        if deed[0] == "create":
            return do.create(MALLORY, do.check(wish(deed[1], again=deed[2])), named=False)
        if not mine:
            return None
        target = mine[deed[1] % len(mine)]
        match deed:
            case ("patch", _, gpus):
                change = Patch(wish=SpecWish(resources=ResourceWish(gpu=gpus)), given=frozenset({"resources"}))
                return do.update(MALLORY, target, change)
            case ("rename", _, name):
                return do.rename(MALLORY, target, name)
            case ("delete", _, force):
                return do.delete(MALLORY, target, force=force)
            case ("fork", _):
                return self.fork(house, target)
            case (order, _):
                ordered: Coroutine[Any, Any, Any] = getattr(do, order)(MALLORY, target)
                return ordered
        raise AssertionError(deed)

    async def fork(self, house: House, origin: NotebookId) -> None:
        for snapshot in house.services.snapshots.list(MALLORY, origin)[:1]:
            await house.services.snapshots.fork(MALLORY, origin, snapshot.id)


def wish(gpus: int, *, again: bool = False) -> SpecWish:
    return SpecWish(
        editor="jupyterlab", framework="conda", resources=ResourceWish(gpu=gpus), timeout_auto_restart=again
    )


async def attempt(doing: Coroutine[Any, Any, Any]) -> None:
    """Mallory takes no for an answer, and tries the next thing."""
    with contextlib.suppress(NotebookdError):
        await doing


async def live(game: Game) -> None:
    while True:
        gate = Turnstile()
        try:
            async with open_house(game.world, gate) as house:
                await house.quiet()
                game.check(house)
                while game.todo:
                    await game.play(house, game.todo.popleft())
                    game.check(house)
                gate.disarm()
                for _ in range(4):
                    await house.pass_time(31)
                game.check(house)
                assert_sound(house)
                return
        except Crash:
            continue


def play(todo: Sequence[Deed]) -> Game:
    with tempfile.TemporaryDirectory(prefix="notebookd-test-", dir=IN_MEMORY) as folder:
        world = make_world(Path(folder), gpus=GPUS, settings={"snapshots": {"at_stop": True}})
        world.quotas[MALLORY.name] = QUOTA
        game = Game(world=world, todo=deque(todo))
        asyncio.run(live(game))
        return game


ALL_AT_ONCE: list[Deed] = [("at once", [("create", 1, False)] * 6), ("at once", [("restart", 0), ("restart", 1)] * 3)]
WHILE_IT_IS_DELETED: list[Deed] = [
    ("at once", [("create", 2, True)]),
    ("at once", [("stop", 0)]),
    ("at once", [("start", 0), ("delete", 0, True), ("create", 2, False), ("create", 2, False), ("fork", 0)]),
    ("at once", [("patch", 0, 3), ("start", 0), ("patch", 0, 3), ("fork", 0)]),
]


def test_the_quota_is_reached_and_no_more() -> None:
    assert play(ALL_AT_ONCE).most == 2
    assert play(WHILE_IT_IS_DELETED).most == 2


@example(ALL_AT_ONCE)
@example(WHILE_IT_IS_DELETED)
@pytest.mark.timeout(600)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, min_size=6, max_size=25))
def test_no_game_gets_beyond_a_quota(todo: Sequence[Deed]) -> None:
    play(todo)


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, min_size=6, max_size=40))
def test_none_of_a_thousand_and_a_half_games_gets_beyond_a_quota(todo: Sequence[Deed]) -> None:
    play(todo)
