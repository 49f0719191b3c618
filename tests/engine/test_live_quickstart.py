# SPDX-License-Identifier: Apache-2.0
"""quickstart as a tool: its status, its traces, and two of it at once."""

from __future__ import annotations

import subprocess
import textwrap

import pytest

from tests.engine.live import QUICKSTART, Machine, eventually, quickstart, root

pytestmark = pytest.mark.engine

# By the run's name only: others may bring theirs up and down on this machine meanwhile. A dead process that nobody
# has waited for is init's affair.
FIND_TRACES = textwrap.dedent("""
    import pathlib, re, sys
    run, name = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[1]).name
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if command and sys.argv[0] not in command.decode(errors="replace"):
                if name in (process / "cgroup").read_text() or str(run) in command.decode(errors="replace"):
                    print(process, command)
        except OSError:
            pass
    for line in open("/proc/self/mountinfo"):
        if name in line:
            print(line, end="")
    for path in (run, pathlib.Path("/sys/fs/cgroup/unified/notebookd-quickstart", name),
                 pathlib.Path("/sys/fs/cgroup/notebookd-quickstart", name)):
        if path.exists():
            print(path)
""")


def traces(run: str) -> str:
    """Processes, mounts, cgroups and folders that a run of quickstart has on the machine."""
    return "".join(
        line
        for line in root("/usr/bin/python3", "-c", FIND_TRACES, run).splitlines(keepends=True)
        if "FIND_TRACES" not in line and "re, sys" not in line
    )


def test_it_passes_a_status_on_and_leaves_no_trace(outer: Machine) -> None:
    assert traces(str(outer.run_folder)), "there is something to be found"
    script = "echo $NOTEBOOKD_RUN; notebookctl run conda jupyterlab --wait >/dev/null || exit 1; exit 7"
    argv = [str(QUICKSTART), "--gpus", "4", "--", "sh", "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    run = done.stdout.strip()
    assert run
    assert traces(run) == ""


def test_two_stand_side_by_side(live: Machine) -> None:
    notebook = live.run()
    with quickstart("--gpus", "1") as other:
        assert other.gateway != live.gateway
        assert other.client.me().value.tenant != live.client.me().value.tenant
        theirs = other.run()
        assert [row.id for row in other.client.list_notebooks().value.items] == [theirs]
        assert len(other.client.list_gpus().value.items) == 1
        assert live.fetch(theirs, token=other.token(theirs)).status == 404
        assert other.fetch(theirs, token=other.token(theirs)).status == 200
    assert traces(str(other.run_folder)) == ""
    assert live.state(notebook) == "RUNNING"
    assert live.fetch(notebook, token=live.token(notebook)).status == 200


def test_what_was_killed_is_taken_down_by_the_next_one(outer: Machine) -> None:
    script = "echo $NOTEBOOKD_RUN; notebookctl run conda jupyterlab --wait >/dev/null; exec kill -KILL $PPID"
    argv = [str(QUICKSTART), "--gpus", "1", "--", "sh", "-c", script]
    killed = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert killed.returncode != 0
    run = killed.stdout.strip()
    subprocess.run([str(QUICKSTART), "--", "true"], capture_output=True, check=True)
    eventually(lambda: traces(run), lambda seen: seen == "", within_s=20, what="an empty house")
