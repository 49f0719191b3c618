# SPDX-License-Identifier: Apache-2.0
"""Notebooks come and go for an hour, and nothing of it stays: memory, descriptors, files.

``NOTEBOOKD_SOAK_MINUTES`` says for how long (60). Each turn creates a notebook, reaches it through the gateway, runs a
command in it, reads its log, stops, starts and deletes it. Then all is at rest, and what the three processes hold is
noted. The turns of the first fifth warm them up; of the rest the last quarter is compared with the first.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from tests.engine.live import Machine, eventually, root
from tests.figures import Rows

MINUTES = float(os.environ.get("NOTEBOOKD_SOAK_MINUTES", "60"))
SERVICES = ("daemon", "gateway", "engine")
MOST_MEMORY = 1.08
SLACK_KB = 4096
"""What a garbage collector may leave lying about."""
MOST_DESCRIPTORS = 2
MOST_FILES = 2
"""The database's two journals come and go."""
FEWEST_TURNS = 8

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(MINUTES * 60 + 600)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What is held at rest: resident memory in KiB and open descriptors of each process, files of each folder."""

    daemon_kb: int
    gateway_kb: int
    engine_kb: int
    daemon_descriptors: int
    gateway_descriptors: int
    engine_descriptors: int
    state_files: int
    run_files: int

    @classmethod
    def of(cls, machine: Machine) -> Holding:
        """Now."""
        pids = {name: int((machine.run_folder / f"{name}.pid").read_text().split()[0]) for name in SERVICES}
        pids["engine"] = served(pids["engine"])
        return cls(
            **{f"{name}_kb": resident_kb(pid) for name, pid in pids.items()},
            **{f"{name}_descriptors": len(root("ls", f"/proc/{pid}/fd").split()) for name, pid in pids.items()},
            state_files=files(machine.state_folder),
            run_files=files(machine.run_folder),
        )


def served(pid: int) -> int:
    """Podman's service itself, where others that only make its surroundings stand before it."""
    while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if Path(f"/proc/{pid}/comm").read_text().strip() == "podman":
            break
        pid = int(children[0])
    return pid


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def files(folder: Path) -> int:
    """How many entries lie in a folder; images are left out."""
    unpacked = ("(", "-name", "diff", "-o", "-name", "merged", "-o", "-name", "l", ")", "-prune", "-o", "-print")
    return len(root("find", str(folder), "-xdev", *unpacked).splitlines())


def turn(live: Machine) -> None:
    """A notebook's whole life."""
    notebook = live.run()
    assert live.fetch(notebook, token=live.token(notebook)).status == 200
    assert live.execute(notebook, "echo", "soaked") == "soaked\n"
    assert live.ctl("logs", notebook).returncode == 0
    live.stop(notebook)
    live.start(notebook)
    live.client.delete_notebook(notebook, force=True)
    eventually(lambda: live.find_state(notebook), lambda seen: seen is None, what="deletion")
    live.made.remove(notebook)


def test_an_hour_of_notebooks_leaves_nothing_behind(live: Machine, figures: dict[str, Rows]) -> None:
    begun, held = time.monotonic(), []
    while time.monotonic() - begun < MINUTES * 60:
        turn(live)
        held.append(Holding.of(live))
    settled = held[len(held) // 5 :]
    quarter = max(2, len(settled) // 4)
    first, last = settled[:quarter], settled[-quarter:]
    rows = figures.setdefault(f"a soak of {MINUTES:g} minutes, {len(held)} turns: what is held at rest", {})
    for each in fields(Holding):
        before, after = middle(first, each.name), middle(last, each.name)
        rows[each.name] = f"{before:,} at first, {after:,} at last"
    assert len(held) >= FEWEST_TURNS, f"{len(held)} turns in {MINUTES:g} minutes say nothing"
    grown = [
        each.name for each in fields(Holding) if grew(each.name)(middle(first, each.name), middle(last, each.name))
    ]
    assert not grown, f"these grew: {grown}; {rows}"


def middle(held: Sequence[Holding], name: str) -> int:
    return round(statistics.median(getattr(each, name) for each in held))


def grew(name: str) -> Callable[[int, int], bool]:
    """What counts as growth of it."""
    if name.endswith("_kb"):
        return lambda before, after: after > before * MOST_MEMORY + SLACK_KB
    if name.endswith("_descriptors"):
        return lambda before, after: after > before + MOST_DESCRIPTORS
    return lambda before, after: after > before + MOST_FILES
