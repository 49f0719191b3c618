# SPDX-License-Identifier: Apache-2.0
"""What the daemon costs when nothing happens."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.daemon import Daemon, service_pid
from tests.bench.figures import Figure

WINDOW_S = 30.0
SETTLE_S = 3.0
MOST_CPU_PERCENT = 0.5
MOST_MEMORY_MB = 80.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds so far, of the process and of the children that it waited for; resident memory in MB."""

    cpu_s: float
    memory_mb: float

    @classmethod
    def of(cls, pid: int) -> Cost:
        stat = (Path("/proc") / str(pid) / "stat").read_text()
        fields = stat[stat.rindex(")") + 2 :].split()
        status = (Path("/proc") / str(pid) / "status").read_text().splitlines()
        resident_kb = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
        return cls(sum(int(field) for field in fields[11:15]) / _TICKS_PER_S, resident_kb / 1024)


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
            digits=2,
        ),
        Figure(name="  the engine's CPU, on its behalf", values=(engine_cpu,), unit="% of a core", digits=2),
        Figure(
            name="  daemon's resident memory", values=(after.memory_mb,), unit="MB", target=MOST_MEMORY_MB, digits=1
        ),
    ]


def _engine_pid() -> int:
    """Rootless Podman serves from a child of the process that was started."""
    pid = service_pid("engine")
    children = (Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text().split()
    podman = [int(child) for child in children if (Path("/proc") / child / "comm").read_text().strip() == "podman"]
    return podman[0] if podman else pid
