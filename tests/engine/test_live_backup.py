# SPDX-License-Identifier: Apache-2.0
"""A backup of a notebookd at work, put in place after a kill; and its configuration read again at work."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.live import Machine, eventually, root

pytestmark = pytest.mark.engine


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="notebookd-test-") as made:
        yield Path(made)


def restore(live: Machine, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """``notebookd restore``, as root does it."""
    program = shutil.which("notebookd", path=live.environment["PATH"])
    assert program is not None
    argv = [program, "restore", str(file), "--config", str(live.config), *options]
    argv = argv if os.geteuid() == 0 else ["sudo", "-n", "--", *argv]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_a_backup_taken_at_work_is_put_in_place_after_a_kill(live: Machine, folder: Path) -> None:
    others = set(live.leases().values())
    running = live.run()
    live.execute(running, "sh", "-c", "echo draft > /workspace/thesis.txt")
    stopped = live.run()
    live.stop(stopped)
    file = folder / "notebookd.db"
    done = live.ctl("backup", str(file))
    assert done.returncode == 0, done.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    before, token = live.container(running), live.token(running)

    live.execute(running, "sh", "-c", "echo final > /workspace/thesis.txt")
    newer = live.run()
    live.execute(newer, "touch", "/workspace/later")
    live.start(stopped)
    refused = restore(live, file)
    assert (refused.returncode, "another notebookd holds it" in refused.stderr) == (1, True)
    live.kill_daemon()
    done = restore(live, file)
    assert done.returncode == 0, done.stderr
    live.service("start", "daemon")

    live.await_state(running, "RUNNING")
    after = live.container(running)
    assert (after["Id"], after["State"]["Pid"]) == (before["Id"], before["State"]["Pid"])
    assert live.token(running) == token
    assert live.fetch(running, token=token).status == 200
    assert live.execute(running, "cat", "/workspace/thesis.txt") == "final\n"
    assert set(live.leases().values()) == {running, *others}
    assert live.find_state(newer) is None
    eventually(live.containers, lambda seen: set(seen) == {running}, what="only what is known")
    assert "later" in root("ls", str(live.workspace(newer))), "its files stay"
    assert live.state(stopped) == "STOPPED"
    live.start(stopped)
    live.await_order()
    root("rm", "-r", str(live.workspace(newer)))
    live.made.remove(newer)


def test_what_is_no_backup_is_refused_and_the_database_stays(live: Machine, folder: Path) -> None:
    notebook = live.run()
    live.service("stop", "daemon")
    live.disturbed = True
    diary = folder / "diary.db"
    diary.write_bytes(b"Dear diary, " * 1000)
    done = restore(live, diary)
    assert done.returncode == 1
    assert "cannot restore the file: file is not a database" in done.stderr
    live.service("start", "daemon")
    assert live.state(notebook) == "RUNNING"


@pytest.fixture
def rewrite(live: Machine) -> Iterator[Callable[[str], None]]:
    """Puts something behind the configuration and has it read again; after the test all is as it was."""
    original = root("cat", str(live.config))

    def write(text: str) -> None:
        root("tee", str(live.config), text=f"{original}\n{text}")
        root("kill", "-HUP", (live.run_folder / "daemon.pid").read_text().split()[0])

    yield write
    write("")


def test_its_configuration_is_read_again_under_a_running_notebook(
    live: Machine, rewrite: Callable[[str], None]
) -> None:
    notebook = live.run()
    before = live.container(notebook)
    image = '[[image]]\neditor = "jupyterlab"\nframework = "conda"\nversion = "again"\nimage = "localhost/again:1"\n'
    rewrite(f'{image}command = ["serve"]\n')
    eventually(live.log, lambda text: "the configuration was read again; changed: image" in text, within_s=10)
    assert "again" in str(live.client.list_frameworks().body)
    rewrite('[lifecycle]\nmax_running = "often"\n[quotas]\n[gateways]\n')
    said = eventually(live.log, lambda text: "the configuration stays as it was" in text, within_s=10)
    fault = said[said.index("the configuration stays as it was") :]
    eventually(lambda: fault, lambda text: "quotas" in text and "gateways" in text, within_s=1)
    assert "again" in str(live.client.list_frameworks().body), "the file that cannot be used changed nothing"
    rewrite("")
    eventually(lambda: str(live.client.list_frameworks().body), lambda seen: "again" not in seen, within_s=10)
    after = live.container(notebook)
    assert (after["Id"], after["State"]["Pid"]) == (before["Id"], before["State"]["Pid"])
