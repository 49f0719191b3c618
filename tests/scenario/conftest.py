# SPDX-License-Identifier: Apache-2.0
"""World in, reconcile until quiet, world out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from notebookd.testing.house import World, make_world

_SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A machine of two GPUs."""
    return make_world(tmp_path)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is such a place: nobody waits for a disk there."""
    if not _SHARED_MEMORY.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=_SHARED_MEMORY) as folder:
        yield Path(folder) / "machine"


@dataclass(slots=True, kw_only=True)
class Tally:
    """Crash points of scenes: those that a run without a crash has, and those at which a daemon died and another came
    up."""

    lines: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, scene: str, enumerated: int, covered: int) -> None:
        """A scene was tried."""
        self.lines[scene] = (enumerated, covered)


_TALLY = pytest.StashKey[Tally]()


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Tally:
    """What the summary prints of crash points."""
    return pytestconfig.stash.setdefault(_TALLY, Tally())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """A line for each scene."""
    tally = config.stash.get(_TALLY, None)
    if tally is None or not tally.lines:
        return
    terminalreporter.section("crash points (a step is one side of a port call or of a commit)")
    total = [sum(counts) for counts in zip(*tally.lines.values(), strict=True)]
    for scene, (enumerated, covered) in [*tally.lines.items(), ("in all", (total[0], total[1]))]:
        terminalreporter.write_line(f"{scene:<34}{enumerated:>7} enumerated {covered:>7} covered")
