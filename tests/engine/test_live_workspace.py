# SPDX-License-Identifier: Apache-2.0
"""What a notebook keeps over stop and start, and what is left alone when its workspace is not the one it was."""

from __future__ import annotations

import textwrap

import pytest

from notebookd import wire
from tests.engine.live import Machine, root

pytestmark = pytest.mark.engine

MARKER = ".workspace.initialized"
WHEEL = "teal-1.0-py3-none-any.whl"
MAKE_WHEEL = textwrap.dedent(f"""
    import zipfile
    with zipfile.ZipFile("/workspace/{WHEEL}", "w") as wheel:
        wheel.writestr("teal.py", "COLOUR = 'teal'")
        wheel.writestr("teal-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: teal\\nVersion: 1.0\\n")
        wheel.writestr("teal-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("teal-1.0.dist-info/RECORD", "")
""")


def test_files_outlive_the_container(live: Machine) -> None:
    notebook = live.run()
    live.execute(notebook, "sh", "-c", "echo kept > /workspace/file && echo gone > /tmp/file")
    before = live.container(notebook)["Id"]
    live.stop(notebook)
    live.start(notebook)
    assert live.execute(notebook, "cat", "/workspace/file") == "kept\n"
    assert live.ctl("exec", notebook, "--", "cat", "/tmp/file").returncode == 1
    assert live.container(notebook)["Id"] != before


def test_what_pip_installs_outlives_the_container(live: Machine) -> None:
    notebook = live.run()
    live.execute(notebook, "python3", "-c", MAKE_WHEEL)
    live.execute(notebook, "pip", "install", "--no-index", "--quiet", f"/workspace/{WHEEL}")
    for _ in range(2):
        assert live.execute(notebook, "python3", "-c", "import teal; print(teal.COLOUR)") == "teal\n"
        live.stop(notebook)
        live.start(notebook)
    live.execute(notebook, "pip", "uninstall", "--quiet", "--yes", "teal")


def test_a_workspace_without_its_marker_is_not_touched(live: Machine) -> None:
    notebook = live.run()
    live.execute(notebook, "sh", "-c", "echo mine > /workspace/file")
    live.stop(notebook)
    workspace = live.workspace(notebook)
    root("mv", str(workspace), f"{workspace}.away")
    root("install", "--directory", "--owner=notebookd", "--mode=0700", str(workspace))  # where its disk is not mounted
    listing = root("find", str(workspace), "-printf", "%p %s %T@ %m %u\n")
    live.client.start_notebook(notebook)
    ended = live.await_state(notebook, "ERROR", within_s=20)
    assert ended.status.last_job_status is not wire.UNSET
    info = ended.status.last_job_status.info
    assert info is not wire.UNSET
    assert MARKER in info.message
    assert root("find", str(workspace), "-printf", "%p %s %T@ %m %u\n") == listing
    assert live.containers() == {}
    assert notebook not in live.leases().values()
    root("rmdir", str(workspace))
    root("mv", f"{workspace}.away", str(workspace))
    live.start(notebook)
    assert live.execute(notebook, "cat", "/workspace/file") == "mine\n"


def test_a_workspace_that_is_gone_is_not_made_anew(live: Machine) -> None:
    """Its disk is not mounted, say: an empty workspace in its place would look like everything is lost."""
    notebook = live.run()
    live.stop(notebook)
    workspace = live.workspace(notebook)
    root("mv", str(workspace), f"{workspace}.away")
    live.client.start_notebook(notebook)
    live.await_state(notebook, "ERROR", within_s=20)
    assert root("find", str(workspace), check=False) == ""
    root("mv", f"{workspace}.away", str(workspace))
    live.start(notebook)


def test_whoever_removes_all_they_have_goes_on_working(live: Machine) -> None:
    """The marker goes with it, and may come to be anything."""
    notebook = live.run()
    for deed in ("true", f"ln -s /etc/passwd {MARKER}"):
        live.execute(notebook, "sh", "-c", f"find /workspace -mindepth 1 -delete; cd /workspace; {deed}")
        live.stop(notebook)
        live.start(notebook)
    assert live.execute(notebook, "readlink", f"/workspace/{MARKER}") == "/etc/passwd\n"


def test_workspaces_are_the_accounts_alone(live: Machine) -> None:
    notebook = live.run()
    live.execute(notebook, "touch", "/workspace/file")
    workspace = live.workspace(notebook)
    owners = root("stat", "-c", "%U %a", str(live.state_folder), str(workspace), str(workspace / "file")).splitlines()
    assert [owner.split()[0] for owner in owners] == ["notebookd"] * 3
    assert [owner.split()[1] for owner in owners[:2]] == ["700", "700"]
