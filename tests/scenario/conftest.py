# SPDX-License-Identifier: Apache-2.0
"""World in, reconcile until quiet, world out."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebookd.testing.house import World, make_world


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A machine of two GPUs."""
    return make_world(tmp_path)
