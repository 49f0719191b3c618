# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from notebookd.domain.run import EDGES
from tests.meta import api_doc, lifecycle_doc


def test_the_lifecycle_page_is_the_table() -> None:
    assert lifecycle_doc.PAGE.read_text(encoding="utf-8") == lifecycle_doc.page(), "run `make docs`"


def test_the_api_page_is_the_route_table() -> None:
    assert api_doc.PAGE.read_text(encoding="utf-8") == api_doc.page(), "run `make docs`"


def test_no_label_ends_early() -> None:
    """Mermaid ends the text of a transition at a colon or a semicolon."""
    assert [edge for edge in EDGES if set(":;") & set(edge.when)] == []
