# SPDX-License-Identifier: Apache-2.0
"""What the daemon costs when nothing happens."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.control import in_loops, loop_s
from tests.bench.daemon import Daemon, service_pid
from tests.bench.figures import Figure, ratio

WINDOW_S = 30.0
SETTLE_S = 3.0
LOOPS = 15
MOST_LOOPS_A_MINUTE = 25.0
MOST_BARE = 2.0
BARE = """
import time
import aiohttp.web, msgspec, podman, pynvml, sqlite3
print("ready", flush=True)
time.sleep(600)
"""
"""What every daemon of these libraries holds before it does anything."""


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds that the process's threads had so far, and its resident memory in MB."""

    cpu_s: float
    memory_mb: float

    @classmethod
    def of(cls, pid: int) -> Cost:
        process = Path("/proc") / str(pid)
        # To the nanosecond; /proc/PID/stat counts in ticks of 10 ms, and misses what is shorter.
        ran_ns = sum(int(thread.read_text().split()[0]) for thread in process.glob("task/*/schedstat"))
        status = (process / "status").read_text().splitlines()
        resident_kb = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
        return cls(ran_ns / 1e9, resident_kb / 1024)


def measure_rest(daemon: Daemon) -> list[Figure]:
    """With no notebook, and with one."""
    figures = _over_window("no notebook")
    daemon.await_running(daemon.create("bench-rest"))
    try:
        return figures + _over_window("one notebook")
    finally:
        daemon.delete_all()


def _over_window(with_what: str) -> list[Figure]:
    time.sleep(SETTLE_S)
    own, engine = service_pid("daemon"), engine_pid()
    before, engine_before, begun = Cost.of(own), Cost.of(engine), time.monotonic()
    time.sleep(WINDOW_S)
    after, engine_after, length = Cost.of(own), Cost.of(engine), time.monotonic() - begun
    cpu_s = (after.cpu_s - before.cpu_s) * 60 / length
    engine_s = (engine_after.cpu_s - engine_before.cpu_s) * 60 / length
    memory = Figure(name="  daemon's resident memory", values=(after.memory_mb,), unit="MB", digits=1)
    bare = Figure(name="  a process that only imports its libraries", values=(_bare_mb(),), unit="MB", digits=1)
    loops = [loop_s(time.process_time) for _ in range(LOOPS)]
    return [
        *in_loops(f"at rest, {with_what}: daemon's CPU in a minute", [cpu_s], loops, target=MOST_LOOPS_A_MINUTE),
        Figure(name="  the engine's CPU, on its behalf", values=(engine_s * 1000,), unit="ms", digits=2),
        memory,
        bare,
        ratio("  daemon over that", memory, bare, target=MOST_BARE),
    ]


def _bare_mb() -> float:
    with subprocess.Popen([sys.executable, "-c", BARE], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            return Cost.of(process.pid).memory_mb
        finally:
            process.kill()


def engine_pid() -> int:
    """Rootless Podman serves from a child of the process that was started."""
    pid = service_pid("engine")
    # Any of its threads may have forked it, and each lists only its own children.
    lists = (Path("/proc") / str(pid)).glob("task/*/children")
    children = [child for each in lists for child in each.read_text().split()]
    return next((int(each) for each in children if (Path("/proc") / each / "comm").read_text() == "podman\n"), pid)
