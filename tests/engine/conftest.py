# SPDX-License-Identifier: Apache-2.0
"""The real engine for tests of this tier; it is set up as for the contract suite."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.append(str(Path(__file__).parent.parent / "contract"))

if TYPE_CHECKING:
    from podman_world import PodmanWorld


@pytest.fixture
async def podman() -> AsyncIterator[PodmanWorld]:
    """An instance of its own on the engine that ``NOTEBOOKD_ENGINE`` names."""
    from podman_world import podman_world

    socket = os.environ.get("NOTEBOOKD_ENGINE")
    if not socket:
        pytest.skip("NOTEBOOKD_ENGINE names no engine")
    async with podman_world(Path(socket)) as world:
        yield world
