# SPDX-License-Identifier: Apache-2.0
"""World in, reconcile until quiet, world out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebookd.testing.house import World, make_world
from tests.figures import CRASH_POINTS, Rows

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


@pytest.fixture(scope="session")
def crash_points(figures: dict[str, Rows]) -> Rows:
    """By scene: those that a run without a crash has, and those at which a daemon died and another came up."""
    return figures.setdefault(CRASH_POINTS, {})
