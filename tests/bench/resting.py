# SPDX-License-Identifier: Apache-2.0
"""What the daemon costs when nothing happens."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.daemon import Daemon, service_pid
from tests.bench.figures import Figure

WINDOW_S = 30.0
SETTLE_S = 3.0
MOST_CPU_PERCENT = 0.5
MOST_MEMORY_MB = 80.0


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
    own, engine = service_pid("daemon"), _engine_pid()
    before, engine_before, begun = Cost.of(own), Cost.of(engine), time.monotonic()
    time.sleep(WINDOW_S)
    after, engine_after, length = Cost.of(own), Cost.of(engine), time.monotonic() - begun
    cpu = (after.cpu_s - before.cpu_s) / length * 100
    engine_cpu = (engine_after.cpu_s - engine_before.cpu_s) / length * 100
    return [
        Figure(
            name=f"at rest, {with_what}: daemon's CPU over {WINDOW_S:.0f} s",
            values=(cpu,),
            unit="% of a core",
            target=MOST_CPU_PERCENT,
            digits=3,
        ),
        Figure(name="  the engine's CPU, on its behalf", values=(engine_cpu,), unit="% of a core", digits=3),
        Figure(
            name="  daemon's resident memory", values=(after.memory_mb,), unit="MB", target=MOST_MEMORY_MB, digits=1
        ),
    ]


def _engine_pid() -> int:
    """Rootless Podman serves from a child of the process that was started."""
    pid = service_pid("engine")
    # Any of its threads may have forked it, and each lists only its own children.
    lists = (Path("/proc") / str(pid)).glob("task/*/children")
    children = [child for each in lists for child in each.read_text().split()]
    return next((int(each) for each in children if (Path("/proc") / each / "comm").read_text() == "podman\n"), pid)
