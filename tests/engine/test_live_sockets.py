# SPDX-License-Identifier: Apache-2.0
"""An editor that puts something else where its socket was."""

from __future__ import annotations

import pytest

from tests.engine.live import Machine, root

pytestmark = pytest.mark.engine

SOCKET = "/run/editor/editor.sock"


def test_what_is_no_socket_is_refused_and_never_followed(live: Machine) -> None:
    notebook, neighbour = live.run(), live.run()
    token = live.token(notebook)
    kept = f"{SOCKET}.kept"
    live.execute(notebook, "mv", SOCKET, kept)
    target = live.editors / neighbour / "editor.sock"
    replacements = {
        "a link to the neighbour's socket": ("ln", "-s", str(target), SOCKET),
        "a link to the engine's socket": ("ln", "-s", str(live.engine), SOCKET),
        "a link to the API's socket": ("ln", "-s", str(live.socket), SOCKET),
        "a link to its own socket": ("ln", "-s", "editor.sock.kept", SOCKET),
        "a regular file": ("touch", SOCKET),
        "a FIFO": ("mkfifo", "-m", "0666", SOCKET),
        "a directory": ("mkdir", SOCKET),
    }
    for what, command in replacements.items():
        live.execute(notebook, *command)
        for path in ("/api", "/_ping", "/v1/health"):
            assert live.fetch(notebook, path, token=token).status == 502, what
        live.execute(notebook, "rm", "-r", "-f", SOCKET)
    assert live.fetch(notebook, token=token).status == 502, "nothing at all"
    live.execute(notebook, "mv", kept, SOCKET)
    assert live.fetch(notebook, token=token).status == 200
    assert live.state(notebook) == "RUNNING"


def test_a_folder_replaced_by_a_link_leads_nowhere(live: Machine) -> None:
    """The folder itself is out of the editor's hands: it cannot be renamed, removed or mounted over."""
    notebook = live.run()
    script = "import os; os.rename('/run/editor', '/run/elsewhere')"
    for command in (
        ("python3", "-c", script),
        ("rmdir", "/run/editor"),
        ("mount", "--bind", "/workspace", "/run/editor"),
    ):
        assert live.ctl("exec", notebook, "--", *command).returncode != 0
    assert live.fetch(notebook, token=live.token(notebook)).status == 200


def test_the_probe_follows_no_link(odd: Machine) -> None:
    neighbour = odd.run("toy", "odd")
    target = odd.editors / neighbour / "editor.sock"
    assert root("curl", "-s", "--unix-socket", str(target), "http://d/api") == "toy", "it would answer, if followed"
    ended = odd.await_state(odd.create("toy", "odd", env={"DEED": f"link {target}"}), "ERROR", within_s=30)
    assert ended.status.last_job_status is not None
    assert "RUNNING" not in [step.state for step in ended.status.last_job_status.history]  # type: ignore[union-attr]


def test_whoever_is_not_the_gateway_cannot_connect_to_an_editor(live: Machine) -> None:
    notebook = live.run()
    editor = live.editors / notebook / "editor.sock"
    script = f"import socket; socket.socket(socket.AF_UNIX).connect({str(editor)!r})"
    drop = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    assert root(*drop, "/usr/bin/python3", "-c", script + "; print('connected')", check=False) == ""
