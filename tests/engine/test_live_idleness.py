# SPDX-License-Identifier: Apache-2.0
"""What shows that a real JupyterLab is in use, and what shows that it is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.engine.jupyter import begin, busy
from tests.engine.live import Machine, as_account, eventually

pytestmark = pytest.mark.engine

WATCH = (Path(__file__).parent / "idle_watch.py").read_text()
WINDOW_S = 3.0


def watch(live: Machine, notebook: str, seconds: float = 0.0) -> dict[str, Any]:
    """The last verdict of looking for so long, and what the editor told then."""
    program = shutil.which("notebookctl", path=live.environment["PATH"])
    assert program is not None
    python = Path(program).resolve().with_name("python")
    folders = str(live.editors), str(live.editors.with_name("activity"))
    done = as_account(str(python), "-c", WATCH, *folders, notebook, str(WINDOW_S), str(seconds))
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_a_notebook_that_nobody_opened_is_idle(live: Machine) -> None:
    notebook = live.run()
    assert watch(live, notebook)["state"] == "active"
    seen = watch(live, notebook, WINDOW_S + 1)
    assert seen["state"] == "idle", seen
    assert "no browser connection since" in seen["reason"]
    assert "no kernel running since" in seen["reason"]


def test_a_busy_silent_cell_is_use_and_the_kernel_is_idle_when_it_is_over(live: Machine) -> None:
    notebook = live.run()
    kernel = begin(live, notebook, "kernels")["id"]
    busy(live, notebook, kernel, f"import time; time.sleep({4 * WINDOW_S})")
    seen = watch(live, notebook, 2 * WINDOW_S)
    assert (seen["state"], seen["findings"]["kernels"]) == ("active", "active")
    assert "kernel 'python3' busy now" in seen["reason"]
    eventually(lambda: watch(live, notebook)["kernels"][0][1], lambda state: state == "idle", what="the kernel idle")
    seen = watch(live, notebook, WINDOW_S + 1)
    assert seen["state"] == "idle", seen
    assert "no kernel busy since" in seen["reason"]


def test_asking_is_no_activity(live: Machine) -> None:
    notebook = live.run()
    kernel = begin(live, notebook, "kernels")["id"]
    begin(live, notebook, "terminals")
    busy(live, notebook, kernel, "1 + 1")
    calm, _ = eventually(
        lambda: (_times(watch(live, notebook)), _times(watch(live, notebook, 1))),
        lambda pair: pair[0] == pair[1],
        what="the kernel and the shell at rest",
    )
    assert len(calm) == 2
    for _ in range(5):
        assert _times(watch(live, notebook)) == calm


def _times(seen: dict[str, Any]) -> list[Any]:
    told: list[Any] = seen["kernels"] + seen["terminals"]
    return told


def test_output_of_a_terminal_is_use_although_no_browser_shows_it(live: Machine) -> None:
    notebook = live.run()
    begin(live, notebook, "terminals")
    quiet = watch(live, notebook, WINDOW_S + 1)
    assert quiet["state"] == "idle", quiet
    assert "terminal '1' quiet since" in quiet["reason"]
    live.execute(notebook, "sh", "-c", "for tty in /dev/pts/[0-9]*; do echo working > $tty; done")
    seen = watch(live, notebook)
    assert seen["terminals"] > quiet["terminals"]


def test_an_editor_that_cannot_be_reached_is_not_idle(live: Machine) -> None:
    notebook = live.run()
    live.execute(notebook, "mv", "/run/editor/editor.sock", "/run/editor/away.sock")
    seen = watch(live, notebook, WINDOW_S + 1)
    assert seen["state"] == "unknown", seen
    assert "cannot see kernels: the editor cannot be reached" in seen["reason"]
    live.execute(notebook, "ln", "-s", "/run/editor/away.sock", "/run/editor/editor.sock")
    assert watch(live, notebook, WINDOW_S + 1)["state"] == "unknown"


def test_while_the_gateway_is_down_nobody_is_idle(live: Machine) -> None:
    notebook = live.run()
    assert live.fetch(notebook, token=live.token(notebook)).status == 200
    assert watch(live, notebook)["findings"]["browser"] == "recent"
    live.service("kill", "gateway")
    seen = watch(live, notebook, WINDOW_S + 1)
    assert seen["state"] == "unknown", seen
    assert "the gateway is not there" in seen["reason"]
    live.service("start", "gateway")
    assert watch(live, notebook, WINDOW_S + 1)["state"] == "idle"
