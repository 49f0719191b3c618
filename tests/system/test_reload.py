# SPDX-License-Identifier: Apache-2.0
"""``systemctl reload``: what the file says holds, without a restart."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.workstation import ADMIN, Workstation, eventually

CONFIG = "/etc/notebookd/notebookd.toml"
NEW = """
[quota]
notebooks = 7
[quota.user.alice]
notebooks = 3
[lifecycle]
max_running = "3d"
"""


@pytest.fixture
def old(workstation: Workstation) -> Iterator[str]:
    """The configuration before, which is there again after the test; its daemon was never restarted."""
    text, pid = workstation.root("cat", CONFIG), workstation.main_pid("notebookd.service")
    yield text
    _reload(workstation, text)
    eventually(
        lambda: _shown(workstation, ADMIN)["lifecycle.max_running"], lambda value: value == "7d", what="the old value"
    )
    assert workstation.main_pid("notebookd.service") == pid


def _reload(workstation: Workstation, text: str) -> None:
    workstation.machine.run("tee", CONFIG, text=text)
    workstation.root("systemctl", "reload", "notebookd.service")


def _shown(workstation: Workstation, user: str) -> dict[str, Any]:
    items = json.loads(workstation.ctl(user, "config", "show", "--output", "json"))["items"]
    return {each["key"]: each["value"] for each in items}


def test_a_reload_changes_quotas_and_deadlines_and_a_broken_file_nothing(workstation: Workstation, old: str) -> None:
    _reload(workstation, old + NEW)
    shown = eventually(
        lambda: _shown(workstation, ADMIN), lambda all_: all_["quota.notebooks"] == 7, what="the new quota"
    )
    assert shown["lifecycle.max_running"] == "3d"
    assert _shown(workstation, "alice")["quota.notebooks"] == 3
    assert _shown(workstation, "bob")["quota.notebooks"] == 7

    _reload(workstation, old + NEW.replace("7", '"many"'))
    eventually(
        lambda: workstation.journal("_SYSTEMD_UNIT=notebookd.service", "PRIORITY=3"),
        lambda entries: any(re.search("stays as it was: .*quota.notebooks: must be", e["MESSAGE"]) for e in entries),
        what="a line in the journal",
    )
    assert _shown(workstation, ADMIN)["quota.notebooks"] == 7
