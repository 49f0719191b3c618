# SPDX-License-Identifier: Apache-2.0
"""Every route of the daemon's own socket, tried by real users: the same page comes of it as of the fake machine."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from notebookd.api.app import ROUTES
from tests.access.matrix import PAGE, on_stage, page, tried
from tests.engine.live import Machine, root

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

CAST = {"nbdl-owner": "notebookd", "nbdl-other": "notebookd", "nbdl-stranger": ""}


@contextmanager
def invented() -> Iterator[None]:
    """Two members and one who is in no group, on this machine for as long as it takes."""
    try:
        for name, group in CAST.items():
            root("userdel", name, check=False)
            root("useradd", "--system", "--no-create-home", *(["--groups", group] if group else []), name)
        yield
    finally:
        for name in CAST:
            subprocess.run(["userdel", name], check=False, capture_output=True)


async def nothing_to_wait_for() -> None:
    """Whatever is under way: what the rules let in does not hang on it."""


async def test_real_users_are_let_in_where_the_page_says(live: Machine) -> None:
    accounts = {
        "owner": "nbdl-owner",
        "other member": "nbdl-other",
        "admin": "root",
        "stranger": "nbdl-stranger",
        "service account": "notebookd",
    }
    with invented():
        async with on_stage(str(live.socket), accounts, nothing_to_wait_for) as stage:
            rows = await tried(stage, ROUTES)
    assert page(rows) == PAGE.read_text(encoding="utf-8")
