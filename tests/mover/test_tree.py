# SPDX-License-Identifier: Apache-2.0
"""Touching trees by descriptor."""

from __future__ import annotations

from pathlib import Path

from notebookd.mover.tree import Tree


def test_a_name_at_the_top_is_found_also_after_one_below(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in ("folder/below", "top"):
        (tmp_path / path).touch()
    with Tree(tmp_path) as tree:
        assert tree.look("folder/below") is not None
        assert tree.look("top") is not None
