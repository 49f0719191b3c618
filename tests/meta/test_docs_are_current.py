# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from notebookd.domain.run import EDGES
from tests.meta.lifecycle_doc import PAGE, page


def test_the_lifecycle_page_is_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.meta.lifecycle_doc`"


def test_no_label_ends_early() -> None:
    """Mermaid ends the text of a transition at a colon or a semicolon."""
    assert [edge for edge in EDGES if set(":;") & set(edge.when)] == []
