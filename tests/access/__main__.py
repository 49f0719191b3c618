# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.access``: write docs/access.md. Only root can: it makes accounts for it, and removes them."""

from __future__ import annotations

import asyncio

from tests.access.house import rows_of
from tests.access.matrix import PAGE, page
from tests.api.people import invent_people

if __name__ == "__main__":
    with invent_people() as people:
        PAGE.write_text(page(asyncio.run(rows_of(people))), encoding="utf-8")
