# SPDX-License-Identifier: Apache-2.0
"""The matrix of a whole house over a fake machine, before real accounts."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from notebookd.api.app import ROUTES
from notebookd.testing.house import make_world
from tests.access.matrix import Row, on_stage, tried
from tests.api.caller import open_api
from tests.api.people import People


async def rows_of(people: People) -> list[Row]:
    """The matrix. The socket is opened to the service's account, which is no stranger to the members' group."""
    folder = Path(tempfile.mkdtemp(prefix="notebookd-"))
    folder.chmod(0o711)
    accounts = {
        "owner": people.alice.name,
        "other member": people.bob.name,
        "admin": people.boss.name,
        "stranger": people.stranger.name,
        "service account": people.service.name,
    }
    try:
        async with (
            open_api(make_world(folder), folder / "api.sock", people) as api,
            on_stage(str(api.socket), accounts, api.house.quiet) as stage,
        ):
            return await tried(stage, ROUTES)
    finally:
        shutil.rmtree(folder)
