# SPDX-License-Identifier: Apache-2.0
"""A stop that reaches everybody in a container.

Podman's own stop signals the container's init alone. That passes the signal on to the editor and ends with it, and with
an init its whole pid namespace ends. So the init is held (SIGSTOP) while everybody is told and has the grace. Let go,
it ends with the editor's exit code. If notebookd dies in between, the init stays held until the stop is taken up again,
which notebookd has on record.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain, repeat

from notebookd.adapters.podman.calls import Calls
from notebookd.adapters.podman.members import Container, hold, release, tell
from notebookd.adapters.processes import ProcStat
from notebookd.domain.farewell import Key, Member, Word, remaining, words
from notebookd.ports.clock import Clock

_PAUSES_S = (0.02, 0.03, 0.05, 0.05, 0.1, 0.1, 0.2)
"""Between looks; then the last of them."""
_ROUNDS = 8
"""In which all who are there at the beginning are found, even while they start others."""
_COLLECT_S = 10


@dataclass(slots=True, kw_only=True)
class _Farewell:
    container: Container
    last: int | None
    told: dict[Key, Word] = field(default_factory=dict)
    known: set[Key] = field(default_factory=set)
    left: list[Member] = field(default_factory=list)

    @property
    def held_back(self) -> bool:
        """Whether somebody lives who is yet to be told."""
        return any(member.key in self.known and member.key not in self.told for member in self.left)

    @property
    def editor_lives(self) -> bool:
        """Whether the process that the init began with is among those who are left."""
        first = min(self.known, key=lambda key: key[::-1], default=None)
        return any(member.key == first for member in self.left)

    def open(self) -> None:
        """Tell everybody who is there."""
        for _ in range(_ROUNDS):
            members = self.container.members()
            new = {member.key for member in members} - self.known
            if not new:
                break
            self.known |= new
            self._say(members, wait=True)
        self.look(wait=True)

    def look(self, *, wait: bool) -> None:
        """Tell whoever's turn it is, and see who is left."""
        members = self.container.members()
        self._say(members, wait=wait)
        self.left = remaining(members, last=self.last)

    def _say(self, members: list[Member], *, wait: bool) -> None:
        said = words(members, self.told, known=self.known, wait=wait, last=self.last)
        for member in members:
            if member.key in said:
                tell(member, said[member.key])
        self.told |= said


async def say_farewell(calls: Calls, clock: Clock, init: int, stat: ProcStat, *, has_init: bool, grace_s: float) -> int:
    """Tell everybody in the container whose pid 1 is process ``init``, and wait until they have ended or the grace is
    over. Who holds a terminal in which a program took its time has a grace of its own after it.

    Returns how many seconds pid 1 shall have to end: 0 when the editor has not ended in time. Without an init of
    Podman's (``has_init``) pid 1 is the editor; it is told by whoever calls this, has the whole grace, and ends last.
    """
    farewell = _Farewell(container=Container(init, with_init=not has_init), last=None if has_init else init)
    if not has_init:
        await _wait(calls, clock, farewell, grace_s)
        return math.ceil(grace_s)
    await calls.run(lambda _: hold(init, stat.start_ticks))
    await _wait(calls, clock, farewell, grace_s)
    await calls.run(lambda _: release(init, stat.start_ticks))
    return 0 if farewell.editor_lives else _COLLECT_S


async def _wait(calls: Calls, clock: Clock, farewell: _Farewell, grace_s: float) -> None:
    await calls.run(lambda _: farewell.open())
    if farewell.held_back:
        await _look_on(calls, clock, farewell, grace_s, lambda: farewell.held_back)
        await calls.run(lambda _: farewell.look(wait=False))
    await _look_on(calls, clock, farewell, grace_s, lambda: bool(farewell.left))


async def _look_on(calls: Calls, clock: Clock, farewell: _Farewell, grace_s: float, wanted: Callable[[], bool]) -> None:
    """Look again, and tell whoever's turn it is, as long as it is so and the grace is not over."""
    ends = clock.awake() + grace_s
    for pause_s in chain(_PAUSES_S, repeat(_PAUSES_S[-1])):
        if not wanted() or clock.awake() >= ends:
            return
        await clock.sleep(pause_s)
        await calls.run(lambda _: farewell.look(wait=True))
