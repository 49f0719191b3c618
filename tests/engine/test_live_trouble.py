# SPDX-License-Identifier: Apache-2.0
"""A locked database, a full disk, and starts that must not succeed."""

from __future__ import annotations

import json
import socket
import subprocess
import textwrap
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from notebookd.client import Refused
from tests.engine.live import WITHOUT_SNAPSHOTS, Machine, as_account, eventually, open_folder, quickstart, root

pytestmark = pytest.mark.engine

LOCK = textwrap.dedent("""
    import sqlite3, sys
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    print("locked", flush=True)
    sys.stdin.read()
""")


@contextmanager
def locked_database(live: Machine) -> Iterator[None]:
    """Another process of the account holds the database's lock."""
    argv = ["setpriv", "--reuid", "notebookd", "--regid", "notebookd-svc", "--clear-groups"]
    argv += ["/usr/bin/python3", "-c", LOCK, str(live.state_folder / "notebookd.db")]
    sudo = ["sudo", "-n", "--"] if root("id", "-u").strip() != subprocess.getoutput("id -u") else []
    with subprocess.Popen([*sudo, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield
        process.stdin.close()


def test_a_locked_database_is_said_to_be_and_waited_for(live: Machine) -> None:
    notebook = live.run()
    with locked_database(live):
        with pytest.raises(Refused) as refusal:
            live.create()
        assert (refusal.value.status, refusal.value.code) == (503, "store-unavailable")
        assert live.state(notebook) == "RUNNING", "what is only read is still answered"
        assert live.fetch(notebook, token=live.token(notebook)).status == 200
    live.run()
    live.stop(notebook)
    live.await_order()


def test_an_end_while_the_database_is_locked_is_noted_after(live: Machine) -> None:
    notebook = live.run()
    with locked_database(live):
        root("kill", "-KILL", str(live.container(notebook)["State"]["Pid"]))
        time.sleep(6)
        assert live.state(notebook) == "RUNNING"
    live.await_state(notebook, "FAILED", within_s=40)
    live.await_order()


def test_a_full_disk_stops_no_stop(outer: Machine, tmp_path: Path) -> None:
    config = tmp_path / "notebookd.toml"
    config.write_text(f'{WITHOUT_SNAPSHOTS}[store]\nballast = "8MiB"\nmin_free = "16MiB"\n')
    with (
        open_folder(size="96M") as folder,
        quickstart("--gpus", "3", "--config", str(config), "--state", str(folder)) as machine,
    ):
        running, doomed, idle = machine.run(), machine.run(), machine.run()
        machine.stop(idle)
        filler = f"cat /dev/zero > {folder}/filler 2>/dev/null; df --output=avail {folder} | tail -n 1"
        assert root("sh", "-c", filler).strip() == "0"
        with pytest.raises(Refused) as refusal:
            machine.client.start_notebook(idle)
        assert (refusal.value.status, refusal.value.code) == (503, "store-unavailable")
        patiently(lambda: machine.client.stop_notebook(running))
        machine.await_state(running, "STOPPED")
        patiently(lambda: machine.client.delete_notebook(doomed, force=True))
        eventually(lambda: machine.find_state(doomed), lambda state: state is None)
        assert machine.containers() == {}
        root("rm", f"{folder}/filler")
        machine.start(running)
        machine.service("restart", "daemon")
        assert {machine.state(running), machine.state(idle)} == {"RUNNING", "STOPPED"}
        machine.clean_up()


def patiently(ask: object) -> None:
    """Ask again for as long as the disk is said to be full: the reserve is given up at the first refusal."""
    for attempt in range(3):
        try:
            ask()  # type: ignore[operator]
        except Refused as refusal:
            if refusal.status != 503 or attempt == 2:
                raise
        else:
            return


# Starts that must be refused: a second daemon, configured like the first but for what a test says.


def configured(live: Machine, folder: Path, **changes: str) -> Path:
    """A copy of the daemon's configuration with ``section_key="value"`` changed."""
    tables = tomllib.loads(live.config.read_text())
    for name, value in changes.items():
        section, _, key = name.partition("_")
        tables[section][key] = value
    lines: list[str] = []
    for section, values in tables.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    path = folder / "notebookd.toml"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o644)
    return path


def refused(live: Machine, program: str, config: Path) -> str:
    """What a program says that must not start."""
    done = as_account(str(live.run_folder / "bin" / program), "--config", str(config), timeout_s=20)
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as made:
        root("chown", "notebookd:notebookd-svc", str(made))
        yield made


def test_a_second_daemon_on_the_same_state_is_refused(live: Machine, folder: Path) -> None:
    config = configured(live, folder, api_socket=str(folder / "api.sock"))
    assert "another notebookd holds it" in refused(live, "notebookd", config)
    assert live.client.health().value.status != "failed"


def test_a_second_daemon_on_the_same_socket_is_refused(live: Machine, folder: Path) -> None:
    config = configured(live, folder, paths_state=str(folder / "state"), paths_runtime=str(folder / "run"))
    assert "another notebookd serves it" in refused(live, "notebookd", config)
    assert live.client.health().value.status != "failed"


def test_a_dead_socket_is_replaced(live: Machine) -> None:
    live.kill_daemon()
    assert live.socket.is_socket()
    live.service("start", "daemon")
    assert live.client.me().value.name
    assert root("stat", "-c", "%a %G", str(live.socket)).strip() == "660 notebookd"


def test_what_is_no_socket_is_not_replaced(live: Machine, folder: Path) -> None:
    taken = folder / "api.sock"
    root("sh", "-c", f"echo precious > {taken}")
    config = configured(live, folder, paths_state=str(folder / "state"), api_socket=str(taken))
    assert "no socket" in refused(live, "notebookd", config)
    assert taken.read_text() == "precious\n"


def test_a_read_only_state_is_refused(live: Machine, folder: Path) -> None:
    state = folder / "state"
    root("mkdir", str(state))
    root("mount", "-t", "tmpfs", "-o", "ro,mode=0777", "tmpfs", str(state))
    try:
        config = configured(live, folder, paths_state=str(state), api_socket=str(folder / "api.sock"))
        assert str(state) in refused(live, "notebookd", config)
    finally:
        root("umount", str(state))
    root("chmod", "0555", str(state))
    assert str(state) in refused(live, "notebookd", config)


@pytest.mark.parametrize(
    ("family", "address", "shown"),
    [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")],
)
def test_a_gateway_that_cannot_have_both_loopbacks_has_none(
    live: Machine, folder: Path, family: int, address: str, shown: str
) -> None:
    with socket.socket(family) as squatter:
        squatter.bind((address, 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        config = configured(live, folder, gateway_listen=f"127.0.0.1:{port}")
        assert f"cannot listen on {shown}:{port}" in refused(live, "notebookd-gateway", config)
        other, wanted = ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"))[family == socket.AF_INET6], port
        with socket.socket(other[0]) as probe:
            assert probe.connect_ex((other[1], wanted)) != 0
