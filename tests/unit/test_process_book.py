# SPDX-License-Identifier: Apache-2.0
"""What is known of a process is read once, and is never another process's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from notebookd.adapters import process_book
from notebookd.adapters.process_book import KEPT_S, ProcessBook
from notebookd.ports.processes import ProcessFacts


class Counting(ProcessBook):
    """It counts how often a process is read; ``now`` is what the clock says."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: self.now)
        self.now = 0.0
        self.read: list[int] = []

    def describe(self, pid: int, folder: int) -> ProcessFacts | None:
        """Count it."""
        self.read.append(pid)
        return super().describe(pid, folder)


@dataclass
class Sleepers:
    """Processes of this test's."""

    begun: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def begin(self, *command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command or ("sleep", "60"))
        self.begun.append(process)
        return process


@pytest.fixture
def sleepers() -> Iterator[Sleepers]:
    made = Sleepers()
    yield made
    for process in made.begun:
        process.kill()
        process.communicate()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_process_is_read_once_a_minute(sleepers: Sleepers) -> None:
    book, pid = Counting(), sleepers.begin().pid
    first = book.look([pid, os.getpid()])
    assert book.look([pid, os.getpid()]) == first
    assert sorted(book.read) == sorted([pid, os.getpid()])
    book.now = KEPT_S
    assert book.look([pid]) == {pid: first[pid]}
    assert book.read.count(pid) == 2


def test_one_that_has_ended_is_left_out_before_it_is_collected(sleepers: Sleepers) -> None:
    book, process = Counting(), sleepers.begin()
    assert set(book.look([process.pid])) == {process.pid}
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert book.look([process.pid]) == {}


def test_one_whose_number_is_given_again_is_another() -> None:
    """A pid namespace in which the next number can be chosen."""
    script = """
import os, pathlib, time
from notebookd.adapters.process_book import ProcessBook
os.system("mount -t proc proc /proc")
def child():
    pid = os.fork()
    if pid == 0:
        os.execvp("sleep", ["sleep", "60"])
    return pid
book = ProcessBook()
first = child()
seen = book.look([first])[first]
os.kill(first, 9); os.waitpid(first, 0)
pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(first - 1))
time.sleep(0.1)  # starts are counted in hundredths
second = child()
assert second == first, (first, second)
again = book.look([second])[second]
assert (again.pid, seen.pid) == (first, first)
assert again.started > seen.started, (seen, again)
os.kill(second, 9)
print("another")
"""
    if os.geteuid() != 0:
        pytest.skip("only root can choose the next pid")
    told = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert told.stdout == "another\n", told.stderr


def test_one_that_acts_as_somebody_else_from_now_on_is_read_again(sleepers: Sleepers) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    book = Counting()
    changing = subprocess.Popen(
        [
            "python3",
            "-c",
            "import os, sys, time; sys.stdin.read(1); os.setuid(65534); print(flush=True); time.sleep(60)",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    sleepers.begun.append(changing)
    before = book.look([changing.pid])[changing.pid]
    assert changing.stdin is not None
    assert changing.stdout is not None
    changing.stdin.write(b".")
    changing.stdin.flush()
    changing.stdout.readline()
    after = book.look([changing.pid])[changing.pid]
    assert (before.user, after.user) == ("root", "nobody")


def test_descriptors_go_with_their_processes(sleepers: Sleepers) -> None:
    book, before = Counting(), descriptors()
    pids = [sleepers.begin().pid for _ in range(5)]
    book.look(pids)
    assert descriptors() == before + 10
    os.kill(pids[0], signal.SIGKILL)
    sleepers.begun[0].wait()
    book.look(pids)
    assert descriptors() == before + 8
    book.look(pids[1:2])
    assert descriptors() == before + 2
    book.look([])
    assert descriptors() == before


def test_of_too_many_processes_some_are_read_each_time(sleepers: Sleepers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_book, "MOST_KEPT", 1)
    book, before = Counting(), descriptors()
    pids = [sleepers.begin().pid for _ in range(3)]
    for _ in range(2):
        assert set(book.look(pids)) == set(pids)
    assert len(book.read) == 5
    assert descriptors() == before + 2
    book.look([])
