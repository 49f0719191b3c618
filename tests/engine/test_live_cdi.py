# SPDX-License-Identifier: Apache-2.0
"""Leased GPUs inside containers: the NVML driver over the stand-in library, real Podman, a CDI spec of our own.

Each pretended GPU is a variable and a device node of its own. Spec and nodes lie where Podman wants them, under names
of this test's own, and are removed by a process that outlives us, whatever happens to us.
"""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from notebookd import wire
from tests.engine.live import WITHOUT_SNAPSHOTS, Machine, open_folder, quickstart, root
from tests.nvml.stand_in import build

pytestmark = pytest.mark.engine

FOLDER = Path("/etc/cdi")
KEEPER = """
set -eu
umask 022
trap '' INT TERM HUP
folder=$1 file=$2 nodes=$3
made=
undo() { rm -f "$file" "$file".* "$nodes"-0 "$nodes"-1; [ -z "$made" ] || rmdir "$folder" 2>/dev/null || true; }
trap undo EXIT
[ -d "$folder" ] || { mkdir "$folder"; made=yes; }
for number in 0 1; do mknod -m 666 "$nodes-$number" c 1 3; done
echo ready
cat >/dev/null
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A notebookd with two pretended GPUs, and their spec."""

    machine: Machine
    mark: str
    uuids: tuple[str, str]
    library: Path

    @property
    def spec_file(self) -> Path:
        return FOLDER / f"{self.mark}.json"

    def node(self, index: int) -> str:
        return f"/dev/{self.mark}-{index}"

    def spec(self) -> dict[str, Any]:
        return spec(self.mark, self.uuids)

    def write_spec(self, body: dict[str, Any]) -> None:
        """In one step, as the toolkit does."""
        root("tee", f"{self.spec_file}.new", text=json.dumps(body))
        root("mv", f"{self.spec_file}.new", str(self.spec_file))

    def visible(self, notebook: str) -> set[int]:
        """Which GPUs the notebook's first process has: by variable and by node, which must agree."""
        said = self.machine.execute(notebook, "sh", "-c", "tr '\\0' '\\n' </proc/1/environ; ls /dev")
        lines = set(said.splitlines())
        variables = {index for index in (0, 1) if f"NOTEBOOKD_TEST_GPU_{index}=yes" in lines}
        nodes = {index for index in (0, 1) if f"{self.mark}-{index}" in lines}
        assert variables == nodes, said
        for index in nodes:
            self.machine.execute(notebook, "sh", "-c", f"echo works >{self.node(index)}")
        return nodes

    def held(self, notebook: str) -> set[int]:
        """Which GPUs the board says that it has."""
        return {self.uuids.index(gpu) for gpu, holder in self.machine.leases().items() if holder == notebook}

    def doctor(self) -> list[tuple[str, str]]:
        """What the doctor finds wrong with CDI: what it saw, and the cure."""
        program = Path(self.machine.environment["NOTEBOOKD_RUN"], "bin", "notebookd")
        command = ("env", f"LD_LIBRARY_PATH={self.library}", str(program), "doctor", "--json")
        found = json.loads(root(*command, "--config", str(self.machine.config), check=False))["findings"]
        return [(each["seen"], each["cure"]) for each in found if each["name"] == "cdi" and each["status"] == "fail"]


def spec(mark: str, uuids: tuple[str, str]) -> dict[str, Any]:
    """As the toolkit makes it: what all want on top, a variable and a node for each."""
    devices = [
        {
            "name": gpu,
            "containerEdits": {
                "env": [f"NOTEBOOKD_TEST_GPU_{index}=yes"],
                "deviceNodes": [{"path": f"/dev/{mark}-{index}"}],
            },
        }
        for index, gpu in enumerate(uuids)
    ]
    top = {"env": ["NVIDIA_VISIBLE_DEVICES=void"]}
    return {"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": devices, "containerEdits": top}


@contextmanager
def nodes_and_spec(mark: str) -> Iterator[None]:
    """Device nodes, and a spec file's absence afterwards: also when we are killed, for then the pipe ends."""
    argv = ["sh", "-c", KEEPER, "sh", str(FOLDER), str(FOLDER / f"{mark}.json"), f"/dev/{mark}"]
    argv = argv if os.geteuid() == 0 else ["sudo", "-n", "--", *argv]
    keeper = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert keeper.stdout is not None
        if keeper.stdout.readline() != b"ready\n":
            pytest.skip("no device nodes can be made on this machine")
        yield
    finally:
        keeper.communicate(timeout=10)
    assert not list(FOLDER.glob(f"{mark}*"))
    assert not list(Path("/dev").glob(f"{mark}*"))


@pytest.fixture(scope="module")
def stage(outer: Machine) -> Iterator[Stage]:
    mark = f"notebookd-test-{uuid.uuid4().hex[:8]}"
    uuids = (f"GPU-{uuid.uuid4()}", f"GPU-{uuid.uuid4()}")
    with open_folder() as folder, nodes_and_spec(mark):
        library = build(into=folder / "nvml").parent
        world = library / "world"
        world.write_text("".join(f"gpu {index} uuid {gpu}\n" for index, gpu in enumerate(uuids)))
        for path in (library, world):
            path.chmod(0o755)
        config = folder / "notebookd.toml"
        config.write_text(WITHOUT_SNAPSHOTS)
        options = ("--driver", "nvml", "--config", str(config))
        with quickstart(*options, environment={"LD_LIBRARY_PATH": str(library)}) as machine:
            stage = Stage(machine=machine, mark=mark, uuids=uuids, library=library)
            stage.write_spec(stage.spec())
            yield stage
            machine.clean_up()


@pytest.fixture
def gpus(stage: Stage) -> Iterator[Stage]:
    """Two free GPUs and a good spec; put in order after each test."""
    yield stage
    stage.write_spec(stage.spec())
    for gpu in stage.uuids:
        stage.machine.client.undrain_gpu(gpu)
    stage.machine.clean_up()


def test_a_notebook_sees_what_it_leased_and_nothing_else(gpus: Stage) -> None:
    machine = gpus.machine
    first, second = machine.run(), machine.run()
    assert gpus.held(first) | gpus.held(second) == {0, 1}
    assert gpus.visible(first) == gpus.held(first)
    assert gpus.visible(second) == gpus.held(second)
    machine.stop(first)
    machine.stop(second)
    both = machine.run(resources=wire.Resources(gpu=2))
    assert gpus.visible(both) == {0, 1}
    assert gpus.visible(machine.run(resources=wire.Resources(cpu=1))) == set()


def test_after_a_start_on_another_gpu_only_the_new_one_is_seen(gpus: Stage) -> None:
    machine = gpus.machine
    notebook = machine.run()
    (old,) = gpus.held(notebook)
    assert gpus.visible(notebook) == {old}
    machine.client.drain_gpu(gpus.uuids[old])
    assert gpus.visible(notebook) == {old}, "who holds a drained GPU keeps it"
    machine.stop(notebook)
    machine.start(notebook)
    assert gpus.held(notebook) == {1 - old}
    assert gpus.visible(notebook) == {1 - old}


def without_devices(body: dict[str, Any]) -> None:
    for device in body["devices"]:
        device["name"] = device["name"][::-1]


def with_a_node_that_is_gone(body: dict[str, Any]) -> None:
    for device in body["devices"]:
        device["containerEdits"]["deviceNodes"].append({"path": "/dev/notebookd-test-gone"})


def with_a_library_that_is_gone(body: dict[str, Any]) -> None:
    library = "/usr/lib/libcuda.so.notebookd-test-gone"
    body["containerEdits"]["mounts"] = [{"hostPath": library, "containerPath": library, "options": ["ro", "bind"]}]


@pytest.mark.parametrize(
    ("spoil", "words", "seen"),
    [
        (without_devices, "unresolvable CDI devices nvidia.com/gpu=GPU-", "does not name"),
        (with_a_node_that_is_gone, "/dev/notebookd-test-gone", "is stale"),
        (with_a_library_that_is_gone, "/usr/lib/libcuda.so.notebookd-test-gone", "is stale"),
    ],
)
def test_a_gpu_that_cannot_be_handed_over_is_an_error_and_no_container_runs_without_it(
    gpus: Stage, spoil: Callable[[dict[str, Any]], None], words: str, seen: str
) -> None:
    machine = gpus.machine
    assert gpus.doctor() == []
    spoilt = gpus.spec()
    spoil(spoilt)
    gpus.write_spec(spoilt)
    ended = machine.await_state(machine.create(), "ERROR", within_s=30)
    job = ended.status.last_job_status
    assert job is not wire.UNSET
    assert job.info is not wire.UNSET
    assert words in job.info.message
    assert "notebookd doctor" in job.info.message
    assert "RUNNING" not in [step.state for step in job.history]
    assert (machine.containers(), machine.leases()) == ({}, {})
    ((found, cure),) = gpus.doctor()
    assert seen in found
    assert "nvidia-ctk cdi generate" in cure
    gpus.write_spec(gpus.spec())
    machine.start(ended.id)
    assert gpus.visible(ended.id) == gpus.held(ended.id)
