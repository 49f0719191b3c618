# SPDX-License-Identifier: Apache-2.0
"""GPUs of a stand-in driver, seen from inside the sandbox: the library, strangers' processes, a lease by CDI."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.workstation import CHECKOUT, Workstation, eventually

FOLDER = "/opt/nvml"
WORLD = f"{FOLDER}/world"
UUIDS = [f"GPU-00000000-0000-0000-0000-{slot:012}" for slot in range(2)]


@pytest.fixture(scope="module")
def driver(workstation: Workstation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two GPUs, and a CDI spec whose devices say in a variable which they are."""
    if shutil.which("gcc") is None or shutil.which("make") is None:
        pytest.skip("not installed: gcc, make")
    built = tmp_path_factory.mktemp("nvml")
    make = ["make", "-C", str(CHECKOUT / "tests" / "nvml"), f"INTO={built}"]
    subprocess.run(make, check=True, capture_output=True, timeout=120)
    devices = [{"name": uuid, "containerEdits": {"env": [f"SEEN_GPU={uuid}"]}} for uuid in UUIDS]
    spec = {"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": devices}
    workstation.root("mkdir", "-p", FOLDER, "/etc/cdi")
    workstation.root("cp", workstation.machine.put(built / "libnvidia-ml.so.1"), FOLDER)
    workstation.machine.run("tee", WORLD, text="gpu 0\ngpu 1\n")
    workstation.machine.run("tee", "/etc/cdi/nvidia.json", text=json.dumps(spec))
    workstation.machine.run("tee", "/etc/ld.so.conf.d/nvml.conf", text=f"{FOLDER}\n")
    workstation.root("ldconfig")
    workstation.root("systemctl", "restart", "notebookd.service")
    yield
    workstation.root("rm", "-r", FOLDER, "/etc/cdi", "/etc/ld.so.conf.d/nvml.conf")
    workstation.root("ldconfig")
    workstation.root("systemctl", "restart", "notebookd.service")


def _add(workstation: Workstation, line: str) -> None:
    workstation.machine.run("tee", "--append", WORLD, text=f"{line}\n")


def _board(workstation: Workstation) -> list[dict[str, Any]]:
    return list(json.loads(workstation.ctl("olga", "gpu", "list", "--output", "json"))["items"])


@pytest.mark.usefixtures("driver")
def test_the_driver_is_seen_through_the_sandbox(workstation: Workstation) -> None:
    board = eventually(lambda: _board(workstation), lambda rows: len(rows) == 2, within_s=30, what="the board")
    assert [(row["uuid"], row["state"]) for row in board] == [(uuid, "free") for uuid in UUIDS]
    assert workstation.show("notebookd.service", "StatusText").endswith("0/2 GPUs leased")


@pytest.mark.usefixtures("driver")
def test_a_strangers_process_is_named_and_its_gpu_is_not_given_out(workstation: Workstation) -> None:
    stranger = workstation.machine.popen("sleep", "300", user="mallory")
    try:
        pid = eventually(
            lambda: workstation.root("pgrep", "-u", "mallory", "-x", "sleep", check=False).strip(), bool, what="it"
        )
        _add(workstation, f"gpu 0 compute {pid} 30GiB")
        first = eventually(
            lambda: _board(workstation)[0], lambda row: row["state"] == "foreign", within_s=30, what="GPU 0"
        )
        (process,) = first["processes"]
        assert (process["pid"], process["command"]) == (int(pid), "sleep")
        named = eventually(  # the name of a uid that was never seen comes with a later look
            lambda: _board(workstation)[0]["processes"][0]["user"], lambda user: user == "mallory", what="the name"
        )
        assert named == "mallory"
        workstation.ctl("alice", "run", "conda", "jupyterlab", "--gpu", "1", "--name", "gpus", "--wait")
        container = workstation.container(workstation.notebook("alice", "gpus")["id"])
        assert container is not None
        environment = workstation.root("cat", f"/proc/{container.pid}/environ").split("\0")
        assert f"SEEN_GPU={UUIDS[1]}" in environment
    finally:
        workstation.root("pkill", "-u", "mallory", "-x", "sleep", check=False)
        stranger.communicate()


@pytest.mark.usefixtures("driver")
def test_a_notebooks_process_is_known_by_its_cgroup(workstation: Workstation) -> None:
    notebook = workstation.notebook("alice", "gpus")["id"]
    container = workstation.container(notebook)
    assert container is not None
    _add(workstation, f"gpu 1 compute {container.pid} 1GiB")
    second = eventually(lambda: _board(workstation)[1], lambda row: row["processes"], within_s=30, what="GPU 1")
    assert (second["state"], second["foreign"]) == ("leased", False)
    assert second["processes"][0]["notebook"] == notebook
    workstation.root("sed", "-i", "/compute/d", WORLD)
    workstation.ctl("alice", "delete", "gpus", "--force", "--yes")
    eventually(lambda: _board(workstation)[1]["state"], lambda state: state == "free", within_s=30, what="GPU 1")
