# SPDX-License-Identifier: Apache-2.0
"""What every implementation of the Processes port keeps to."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from notebookd.adapters.process_book import ProcessBook
from notebookd.adapters.processes import SystemProcesses
from notebookd.ports.processes import Processes
from notebookd.testing.processes import FakeProcesses

ME = pwd.getpwuid(os.geteuid()).pw_name
WORK_WHEN_ASKED = """
echo ready
while read -r holds; do
    [ -z "$holds" ] || held=$(head -c "$holds" /dev/zero | tr "\\0" x)
    (i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done)
    echo worked
done
"""
NEVER = 2**22 + 1  # above the highest pid that Linux gives


class World(Protocol):
    """Processes to look at, and means to begin and end some."""

    processes: Processes
    own_pid: int

    def begin(self, name: str) -> int: ...

    def begin_in_own_namespace(self) -> int: ...

    def works(self, pid: int) -> None:
        """The process, in a namespace of its own, takes CPU time."""

    def holds(self, pid: int, count_bytes: int) -> None:
        """The same takes memory, and keeps it."""

    def end(self, pid: int) -> None: ...


class FakeWorld:
    def __init__(self) -> None:
        self.processes = FakeProcesses()
        self.own_pid = 1000
        self._last = 1000
        self.processes.add(1000, user=ME)

    def begin(self, name: str, namespace: str = "4:1") -> int:
        self._last += 1
        self.processes.add(self._last, user=ME, command=name, pid_namespace=namespace)
        return self._last

    def begin_in_own_namespace(self) -> int:
        pid = self.begin("sh", "4:2")
        self.processes.cpu_s[pid] = 0.0
        return pid

    def works(self, pid: int) -> None:
        self.processes.cpu_s[pid] += 0.02

    def holds(self, pid: int, count_bytes: int) -> None:
        self.processes.memory_bytes[pid] = count_bytes

    def end(self, pid: int) -> None:
        self.processes.end(pid)


class RealWorld:
    def __init__(self, stack: ExitStack, processes: Processes) -> None:
        self.processes = processes
        self.own_pid = os.getpid()
        self._stack = stack
        self._begun: dict[int, subprocess.Popen[str]] = {}

    def begin(self, name: str) -> int:
        process = self._start("sh", "-c", 'printf %s "$1" >/proc/$$/comm; echo ready; read -r _', "sh", name)
        self._begun[process.pid] = process
        return process.pid

    def begin_in_own_namespace(self) -> int:
        own_user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
        parent = self._start("unshare", *own_user, "--pid", "--fork", "--kill-child", "sh", "-c", WORK_WHEN_ASKED)
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        pid = int(children.read_text())
        self._begun[pid] = parent
        return pid

    def works(self, pid: int) -> None:
        self._ask(pid, "")

    def holds(self, pid: int, count_bytes: int) -> None:
        self._ask(pid, str(count_bytes))

    def _ask(self, pid: int, wish: str) -> None:
        asked = self._begun[pid]
        assert asked.stdin is not None
        assert asked.stdout is not None
        print(wish, file=asked.stdin, flush=True)
        assert asked.stdout.readline() == "worked\n"

    def end(self, pid: int) -> None:
        self._begun[pid].kill()
        self._begun[pid].wait()

    def _start(self, *command: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._stack.callback(process.communicate)
        self._stack.callback(process.kill)
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            assert process.stderr is not None
            pytest.skip(f"{command[0]} is not allowed here: {process.stderr.read().strip()}")
        return process


@contextmanager
def fake() -> Iterator[World]:
    yield FakeWorld()


@contextmanager
def real() -> Iterator[World]:
    with ExitStack() as stack:
        yield RealWorld(stack, SystemProcesses())


@contextmanager
def kept() -> Iterator[World]:
    """The real ones, each read once."""
    with ExitStack() as stack:
        yield RealWorld(stack, ProcessBook())


@pytest.fixture(params=[fake, real, kept], ids=lambda maker: maker.__name__)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with request.param() as made:
        yield made


def test_a_process_has_a_start_a_user_and_a_name(world: World) -> None:
    pid = world.begin("trainer")
    facts = world.processes.look([pid])[pid]
    assert (facts.pid, facts.user, facts.command, facts.container_id) == (pid, ME, "trainer", None)
    assert facts.started > 0


def test_a_process_keeps_its_identity(world: World) -> None:
    pid = world.begin("trainer")
    assert world.processes.look([pid]) == world.processes.look([pid])


def test_only_those_asked_for_are_given(world: World) -> None:
    first, second = world.begin("a"), world.begin("b")
    assert set(world.processes.look([first])) == {first}
    assert set(world.processes.look({first, second, world.own_pid})) == {first, second, world.own_pid}
    assert world.processes.look([]) == {}


@pytest.mark.parametrize("pid", [0, -1, NEVER, 2**70])
def test_what_is_no_process_is_left_out(world: World, pid: int) -> None:
    assert set(world.processes.look([pid, world.own_pid])) == {world.own_pid}


def test_a_process_that_ended_is_left_out(world: World) -> None:
    pid = world.begin("trainer")
    assert set(world.processes.look([pid])) == {pid}
    world.end(pid)
    assert world.processes.look([pid]) == {}


def test_processes_share_a_pid_namespace_unless_one_has_its_own(world: World) -> None:
    beside, apart = world.begin("sh"), world.begin_in_own_namespace()
    facts = world.processes.look([world.own_pid, beside, apart])
    assert facts[world.own_pid].pid_namespace == facts[beside].pid_namespace
    assert facts[apart].pid_namespace not in {None, facts[beside].pid_namespace}


async def test_cpu_time_is_that_of_the_whole_namespace_children_that_ended_too(world: World) -> None:
    apart, other = world.begin_in_own_namespace(), world.begin_in_own_namespace()
    before = await world.processes.footprints([apart, other])
    world.works(apart)
    after = await world.processes.footprints([apart, other])
    worked_s, rested_s = (after[pid].cpu_s - before[pid].cpu_s for pid in (apart, other))
    assert 0.01 < worked_s < 30
    assert rested_s < 0.01 + worked_s / 2


async def test_memory_is_that_of_the_whole_namespace(world: World) -> None:
    apart, other = world.begin_in_own_namespace(), world.begin_in_own_namespace()
    world.holds(apart, 32 * 2**20)
    taken = await world.processes.footprints([apart, other])
    assert 32 * 2**20 <= taken[apart].memory_bytes < 2**30
    assert taken[other].memory_bytes < 32 * 2**20


@pytest.mark.parametrize("pid", [0, -1, NEVER])
async def test_cpu_time_of_no_process_is_not_seen(world: World, pid: int) -> None:
    assert await world.processes.footprints([pid]) == {}


async def test_cpu_time_of_a_namespace_shared_with_the_service_is_nobodys(world: World) -> None:
    assert await world.processes.footprints([world.own_pid, world.begin("sh")]) == {}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("evil\x1b[2J) (x", "evil?[2J) (x"),
        (") S 1 1 (", ") S 1 1 ("),
        ("two\nlines", "two?lines"),
        ("bell\a\r\x7f", "bell???"),
        ("right\u202eleft", "right?left"),
        ("gpu müller", "gpu müller"),
    ],
)
def test_a_name_is_shown_without_what_steers_a_terminal(world: World, name: str, shown: str) -> None:
    pid = world.begin(name)
    facts = world.processes.look([pid])[pid]
    assert (facts.command, facts.user) == (shown, ME)
