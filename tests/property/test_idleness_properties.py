# SPDX-License-Identifier: Apache-2.0
"""Idleness over any course of use, blindness, lost records and a step of the wall clock: IDLE is always true."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from notebookd.domain.activity import EditorActivity, GatewayUse, GpuLoad, Kernel, Moment, Signals, Terminal
from notebookd.domain.idleness import (
    IdleRecord,
    IdleRule,
    IdleState,
    Since,
    Verdict,
    longest_blink_s,
    look,
    look_every_s,
)
from notebookd.domain.observed import Known, Seen, Unknown
from tests.values import NOW

WINDOW_S = 600.0
RULE = IdleRule(window_s=WINDOW_S)
BOOT_S = 5000.0
BLIND = Unknown("nobody answers")
LEAVES_ITS_STAMP_ON = {"connected": "browser", "busy": "a"}
"""A gateway stamps every connection that opens or closes, Jupyter every kernel that begins or ends a cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Some time passes; then things happen; then somebody looks, and sees what is not ``hidden``."""

    passes_s: float
    acts: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    steps_s: float = 0.0
    """The wall clock is set by so much, in the middle of the time that passes."""
    forgets: bool = False
    """The record is lost before the look."""
    calm: int = 0
    """So many looks follow at which nothing happened, each seeing as much."""

    @property
    def looks(self) -> list[Turn]:
        return [self, *[Turn(passes_s=look_every_s(WINDOW_S), hidden=self.hidden)] * self.calm]


@dataclass
class World:
    """What truly happens, by the boot clock, and what can be seen of it."""

    gpu: bool = True
    boot_s: float = BOOT_S
    stepped_s: float = 0.0
    record: IdleRecord = field(default_factory=IdleRecord)
    used_s: dict[str, float] = field(default_factory=dict)
    """When each thing was truly active last."""
    stamps: dict[str, float] = field(default_factory=dict)
    """And by the wall clock that showed then."""
    unsampled: list[float] = field(default_factory=list)
    sampled: list[float] = field(default_factory=lambda: [BOOT_S])

    @property
    def now(self) -> Moment:
        return Moment(at=NOW + timedelta(seconds=self.boot_s - BOOT_S + self.stepped_s), boot_s=self.boot_s)

    def live(self, turn: Turn) -> list[Verdict]:
        """What is found at each look of the turn."""
        return [self.turn(each) for each in turn.looks]

    def turn(self, turn: Turn) -> Verdict:
        self.boot_s += turn.passes_s / 2
        self.stepped_s += turn.steps_s
        self.boot_s += turn.passes_s / 2
        for thing in turn.acts:
            self.used_s[thing] = self.boot_s
            self.stamps[LEAVES_ITS_STAMP_ON.get(thing, thing)] = self.boot_s - BOOT_S + self.stepped_s
        if turn.forgets:
            self.record = IdleRecord()
        if "gpus" in turn.hidden:
            self.unsampled.append(self.boot_s)
        else:
            self.sampled.append(self.boot_s)
        since = Since(moment=Moment(at=NOW, boot_s=BOOT_S))
        self.record, verdict = look(self.record, self.seen(turn), RULE, since, self.now)
        return verdict

    def seen(self, turn: Turn) -> Signals:
        editor: Seen[EditorActivity | None] = Known(
            EditorActivity(kernels=self.kernels(turn), terminals=self.terminals)
        )
        use = GatewayUse(
            connections=int("connected" in turn.acts),
            last_used_at=self.stamp("browser") if "browser" in self.stamps else None,
        )
        sampled = (GpuLoad(index=0, utilisation=0.9 if "gpu" in turn.acts else 0.01),) if self.gpu else ()
        return Signals(
            browser=BLIND if "browser" in turn.hidden else Known(use),
            editor=BLIND if "editor" in turn.hidden else editor,
            gpus=BLIND if "gpus" in turn.hidden else Known(sampled),
        )

    def kernels(self, turn: Turn) -> tuple[Kernel, ...]:
        state = "busy" if "busy" in turn.acts else "idle"
        return (
            Kernel(id="a", name="python3", state=state, last_activity_at=self.stamp("a")),
            Kernel(id="b", name="python3", state="idle", last_activity_at=self.stamp("b")),
        )

    @property
    def terminals(self) -> tuple[Terminal, ...]:
        return (Terminal(name="1", last_activity_at=self.stamp("terminal")),)

    def stamp(self, thing: str) -> object:
        return NOW + timedelta(seconds=self.stamps.get(thing, 0.0))


things = st.frozensets(st.sampled_from(["a", "b", "terminal", "browser", "connected", "busy", "gpu"]), max_size=2)
hidden = st.frozensets(st.sampled_from(["browser", "editor", "gpus"]), max_size=2)
lengths = st.sampled_from([1.0, 30.0, look_every_s(WINDOW_S), 200.0, 599.0, 600.0, 2000.0])
turns = st.lists(
    st.builds(
        lambda passes_s, acts, unseen, forgets, calm: Turn(
            passes_s=passes_s, acts=acts, hidden=unseen, forgets=forgets, calm=calm
        ),
        lengths,
        st.one_of(st.just(frozenset()), things),
        st.one_of(st.just(frozenset()), hidden),
        st.integers(0, 9).map(lambda die: die == 0),
        st.sampled_from([0, 0, 5, 10, 11, 25]),
    ),
    min_size=1,
    max_size=8,
)
steps = st.tuples(st.integers(0, 7), st.sampled_from([0.0, 3600.0, -3600.0, 300.0, -300.0, 86400.0]))


def stepped(course: list[Turn], step: tuple[int, float]) -> list[Turn]:
    """The same course with one step of the wall clock in it."""
    position, steps_s = step
    return [replace(turn, steps_s=steps_s) if index == position else turn for index, turn in enumerate(course)]


@settings(max_examples=500, deadline=None)
@given(st.booleans(), turns, steps)
def test_idle_is_never_said_of_what_was_in_use_within_the_window(
    gpu: bool, course: list[Turn], step: tuple[int, float]
) -> None:
    world = World(gpu=gpu)
    for turn in stepped(course, step):
        for each in turn.looks:
            verdict = world.turn(each)
            if verdict.state is IdleState.IDLE:
                assert not turn.hidden, "idle in spite of a signal that could not be read"
                nothing_happened(world)


def nothing_happened(world: World) -> None:
    horizon = world.boot_s - WINDOW_S + 0.001
    used = {thing for thing, used_s in world.used_s.items() if used_s > horizon and (world.gpu or thing != "gpu")}
    assert not used, "idle in spite of use"
    if world.gpu:
        assert all(unsampled <= horizon for unsampled in world.unsampled), "idle in spite of a GPU that nobody saw"
        looks = [max(sampled, horizon) for sampled in world.sampled]
        gaps = [later - earlier for earlier, later in pairwise(looks)]
        assert all(gap <= longest_blink_s(WINDOW_S) for gap in gaps), "idle in spite of a long blink"


@given(turns, steps)
def test_what_nobody_uses_is_idle_when_the_window_is_over(course: list[Turn], step: tuple[int, float]) -> None:
    world = World()
    for turn in stepped(course, step):
        world.live(turn)
    until_s = world.boot_s + WINDOW_S + look_every_s(WINDOW_S)
    while world.boot_s < until_s:
        verdict = world.turn(Turn(passes_s=look_every_s(WINDOW_S)))
    assert verdict.state is IdleState.IDLE
    assert verdict.stops_at == world.now.at


@given(st.booleans(), turns, steps, st.integers(0, 7), things)
def test_more_activity_never_makes_it_idler(
    gpu: bool, course: list[Turn], step: tuple[int, float], position: int, acts: frozenset[str]
) -> None:
    fewer, more = World(gpu=gpu), World(gpu=gpu)
    for index, turn in enumerate(stepped(course, step)):
        busier = replace(turn, acts=turn.acts | acts) if index == position else turn
        for less, greater in zip(fewer.live(turn), more.live(busier), strict=True):
            assert greater.since.boot_s >= less.since.boot_s - 0.001
            assert greater.state is not IdleState.IDLE or less.state is IdleState.IDLE


@given(st.booleans(), turns, st.integers(0, 7), hidden)
def test_seeing_less_never_makes_it_idle(gpu: bool, course: list[Turn], position: int, unseen: frozenset[str]) -> None:
    clear, dim = World(gpu=gpu), World(gpu=gpu)
    for index, turn in enumerate(course):
        dimmer = replace(turn, hidden=turn.hidden | unseen) if index == position else turn
        for bright, dark in zip(clear.live(turn), dim.live(dimmer), strict=True):
            assert dark.state is not IdleState.IDLE or bright.state is IdleState.IDLE
