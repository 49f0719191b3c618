# SPDX-License-Identifier: Apache-2.0
"""What befalls GPUs under a whole notebookd: the NVML driver over the stand-in library, real containers and processes.

Each row of the two tables below is a fault, what the board says of it, the event that is on record, and what follows.
The event and the board are due within two polls. Somebody's notebook runs all the while, so that polls are not rare.
"""

from __future__ import annotations

import grp
import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from notebookd import wire
from tests.engine.live import SERVICE, Machine, eventually, odd_configuration, open_folder, quickstart, root
from tests.engine.test_live_cdi import FOLDER, nodes_and_spec
from tests.nvml.stand_in import World, build

pytestmark = pytest.mark.engine

POLL_S = 1.0
TWO_POLLS_S = 2 * POLL_S
GPUS = 4
LEASED, FREE = 0, 1
"""The GPU that the victim's notebook holds, and the one that the next notebook would get."""
STRANGER = "65534"
LIBRARY_VERSION = "570.1"


@dataclass(slots=True, kw_only=True)
class Stage:
    """A notebookd with four pretended GPUs, and a notebook on the first of them."""

    machine: Machine
    world: World
    uuids: tuple[str, ...]
    victim: str = ""
    last_event: int = 0
    pids: list[int] = field(default_factory=list)

    def well(self) -> None:
        """Every GPU works and nobody is on it."""
        self.world.write(*(f"gpu {index} uuid {gpu}" for index, gpu in enumerate(self.uuids)))

    def board(self) -> wire.GpuList:
        return self.machine.client.list_gpus().value

    def row(self, index: int) -> wire.Gpu:
        return next(gpu for gpu in self.board().items if gpu.uuid == self.uuids[index])

    def held(self, notebook: str) -> set[int]:
        """Which GPUs a notebook holds."""
        return {self.uuids.index(gpu) for gpu, holder in self.machine.leases().items() if holder == notebook}

    def told(self) -> list[wire.Event]:
        """What was put on record of GPUs since the stage was set."""
        events = self.machine.client.events(after=self.last_event)
        return [each.value for each in events if each.value.type.startswith("gpu")]

    def told_soon(self, event: str) -> wire.Event:
        """The event of that type; it comes within two polls."""

        def look() -> list[wire.Event]:
            return [each for each in self.told() if each.type == event]

        return eventually(look, bool, within_s=TWO_POLLS_S, what=event)[0]

    def run_another(self) -> str:
        return self.machine.run("toy", "odd")

    def why(self, notebook: str) -> str:
        return " ".join(self.machine.client.why(notebook).value.sentences)


@contextmanager
def a_stranger() -> Iterator[int]:
    """A real process of somebody who asked nobody; its pid."""
    drop = ["setpriv", "--reuid", STRANGER, "--regid", STRANGER, "--clear-groups", "sleep", "600"]
    argv = ["sh", "-c", 'echo "$$"; exec "$@"', "sh", *drop]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        eventually(lambda: Path(f"/proc/{pid}/comm").read_text(), lambda name: name == "sleep\n", within_s=10)
        yield pid
    finally:
        process.kill()
        process.communicate(timeout=10)


def configuration() -> str:
    return f'[gpus]\npoll = "{POLL_S:.0f}s"\n[quota]\ngpus = 100\n{odd_configuration(start_timeout="60s")}'


def cdi_spec(uuids: tuple[str, ...]) -> str:
    devices = [{"name": gpu, "containerEdits": {"env": [f"GPU_{n}=yes"]}} for n, gpu in enumerate(uuids)]
    return json.dumps({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": devices})


@pytest.fixture(scope="module")
def scenery(outer: Machine) -> Iterator[Stage]:
    mark = f"notebookd-test-{uuid.uuid4().hex[:8]}"
    uuids = tuple(f"GPU-{uuid.uuid4()}" for _ in range(GPUS))
    with open_folder() as folder, nodes_and_spec(mark):
        root("tee", str(FOLDER / f"{mark}.json"), text=cdi_spec(uuids))
        library = build(into=folder / "nvml", version=LIBRARY_VERSION).parent
        library.chmod(0o755)
        config = folder / "notebookd.toml"
        config.write_text(configuration())
        world = World(library / "world")
        world.write(*(f"gpu {index} uuid {gpu}" for index, gpu in enumerate(uuids)))
        with quickstart(
            "--driver", "nvml", "--config", str(config), environment={"LD_LIBRARY_PATH": str(library)}
        ) as machine:
            yield Stage(machine=machine, world=world, uuids=uuids)


@pytest.fixture
def stage(scenery: Stage) -> Iterator[Stage]:
    """All is well, and a notebook runs on the first GPU."""
    scenery.victim = scenery.run_another()
    assert scenery.held(scenery.victim) == {LEASED}
    scenery.last_event = max(each.value.id for each in scenery.machine.client.events())
    yield scenery
    scenery.well()
    eventually(scenery.board, lambda board: board.trouble is wire.UNSET, within_s=30, what="the driver back")
    scenery.machine.clean_up()
    for gpu in scenery.uuids:
        scenery.machine.client.clear_gpu(gpu)
    eventually(scenery.board, lambda board: {gpu.state for gpu in board.items} == {"free"}, within_s=10)


# What follows from a fault. Each is given the stage, and the GPU that it befell.


def nobody_gets_it(stage: Stage, gpu: int) -> None:
    assert stage.held(stage.run_another()) == {FREE + 1}
    assert stage.row(gpu).lease is None


def the_next_gets_it(stage: Stage, gpu: int) -> None:
    assert stage.held(stage.run_another()) == {gpu}


def the_notebook_goes_on(stage: Stage, gpu: int) -> None:
    assert stage.machine.state(stage.victim) == "RUNNING"
    stage.machine.client.restart_notebook(stage.victim)
    stage.machine.await_state(stage.victim, "RUNNING")
    assert stage.held(stage.victim) == {gpu}


def a_restart_moves_the_notebook(stage: Stage, gpu: int) -> None:
    machine = stage.machine
    assert machine.state(stage.victim) == "RUNNING", "it goes on until somebody restarts it"
    assert "A restart moves it to another" in stage.why(stage.victim)
    waiting = machine.create("toy", "odd", resources=wire.Resources(gpu=GPUS))
    machine.client.restart_notebook(stage.victim)
    eventually(lambda: stage.held(stage.victim), lambda held: held == {FREE}, within_s=30, what="another GPU")
    machine.await_state(stage.victim, "RUNNING")
    env = machine.execute(stage.victim, "sh", "-c", "tr '\\0' '\\n' </proc/1/environ").splitlines()
    assert [line for line in env if line.startswith("GPU_")] == [f"GPU_{FREE}=yes"]
    assert stage.held(waiting) == set(), "who asked later waits behind it"


def its_holder_is_told_who(stage: Stage, gpu: int) -> None:
    assert "nobody's sleep" in stage.why(stage.victim)
    assert stage.machine.state(stage.victim) == "RUNNING"
    (event,) = [each for each in stage.told() if each.type == "gpu.foreign"]
    assert event.notebook == stage.victim


Effect = Callable[[Stage, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Lines about the GPU for the world file, and what they bring."""

    gpu: int
    lines: tuple[str, ...]
    state: str
    event: str | None
    effect: Effect
    xid: int | None = None
    says: str = ""


# fmt: off
FAULTS = {
    "Xid 79, free": Fault(
        gpu=FREE, lines=("event xid 79",),
        state="quarantined", event="gpu.quarantined", xid=79, says="Xid 79", effect=nobody_gets_it),
    "Xid 79, leased": Fault(
        gpu=LEASED, lines=("event xid 79",),
        state="quarantined", event="gpu.quarantined", xid=79, says="Xid 79", effect=a_restart_moves_the_notebook),
    "Xid 31, free": Fault(
        gpu=FREE, lines=("event xid 31",),
        state="free", event="gpu.xid", xid=31, effect=the_next_gets_it),
    "Xid 31, leased": Fault(
        gpu=LEASED, lines=("event xid 31",),
        state="leased", event="gpu.xid", xid=31, effect=the_notebook_goes_on),
    "double-bit ECC told, free": Fault(
        gpu=FREE, lines=("event ecc",),
        state="quarantined", event="gpu.quarantined", says="double-bit ECC", effect=nobody_gets_it),
    "double-bit ECC counted, leased": Fault(
        gpu=LEASED, lines=("ecc 1",),
        state="quarantined", event="gpu.quarantined", says="memory error", effect=a_restart_moves_the_notebook),
    "lost, free": Fault(
        gpu=FREE, lines=("fail * GPU_IS_LOST",),
        state="lost", event="gpu.quarantined", says="fallen off the bus", effect=nobody_gets_it),
    "lost, leased": Fault(
        gpu=LEASED, lines=("fail * GPU_IS_LOST",),
        state="lost", event="gpu.quarantined", says="fallen off the bus", effect=a_restart_moves_the_notebook),
    "reset required, free": Fault(
        gpu=FREE, lines=("fail * RESET_REQUIRED",),
        state="quarantined", event="gpu.quarantined", says="reset", effect=nobody_gets_it),
    "MIG on, free": Fault(
        gpu=FREE, lines=("mig on",),
        state="unsupported", event="gpu.mig", says="MIG", effect=nobody_gets_it),
    "a stranger, free": Fault(
        gpu=FREE, lines=("compute {stranger} 1GiB",),
        state="foreign", event="gpu.foreign", effect=nobody_gets_it),
    "a stranger, leased": Fault(
        gpu=LEASED, lines=("compute {stranger} 1GiB",),
        state="leased", event="gpu.foreign", effect=its_holder_is_told_who),
    "a stranger who draws, free": Fault(
        gpu=FREE, lines=("graphics {stranger} ?",),
        state="foreign", event="gpu.foreign", effect=nobody_gets_it),
    "a stranger who uses little, free": Fault(
        gpu=FREE, lines=("compute {stranger} 256MiB",),
        state="free", event=None, effect=the_next_gets_it),
}
# fmt: on


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_a_gpu_is_seen_told_and_acted_on_within_two_polls(stage: Stage, name: str) -> None:
    fault = FAULTS[name]
    with a_stranger() as stranger:
        stage.world.add(*(f"gpu {fault.gpu} {line.format(stranger=stranger)}" for line in fault.lines))
        if fault.event is not None:
            event = stage.told_soon(fault.event)
            details = {} if event.details is wire.UNSET else event.details
            assert details["gpu"] == stage.uuids[fault.gpu]
            assert details.get("xid") == fault.xid
            assert (event.notebook == stage.victim) is (fault.gpu == LEASED)
        row = eventually(
            lambda: stage.row(fault.gpu), lambda seen: seen.state == fault.state, within_s=TWO_POLLS_S, what="the board"
        )
        assert row.foreign is (fault.event == "gpu.foreign")
        assert fault.says in (row.health.message or "")
        assert row.health.status == ("failed" if fault.says else "ok")
        if "{stranger}" in fault.lines[0]:
            assert [(each.user, each.pid, each.command, each.notebook) for each in row.processes] == [
                ("nobody", stranger, "sleep", None)
            ]
        fault.effect(stage, fault.gpu)
        assert [each.type for each in stage.told()] == ([fault.event] if fault.event else []), "and it is told once"


def test_a_stranger_who_leaves_gives_the_gpu_back_to_whoever_waits(stage: Stage) -> None:
    with a_stranger() as stranger:
        stage.world.add(f"gpu {FREE} compute {stranger} 8GiB")
        stage.told_soon("gpu.foreign")
        waiting = stage.machine.create("toy", "odd", resources=wire.Resources(gpu=GPUS - 1))
        assert stage.machine.client.queue().value.items[0].notebook == waiting
    stage.world.drop(f"gpu {FREE} compute")
    stage.told_soon("gpu.foreign-gone")
    stage.machine.await_state(waiting, "RUNNING")
    assert stage.held(waiting) == {1, 2, 3}


def test_the_notebooks_own_processes_are_its_own(stage: Stage) -> None:
    machine = stage.machine
    machine.execute(stage.victim, "sh", "-c", "setsid sleep 600 </dev/null >/dev/null 2>&1 &")
    first = int(machine.container(stage.victim)["State"]["Pid"])
    children = eventually(lambda: Path(f"/proc/{first}/task/{first}/children").read_text().split(), bool, within_s=10)
    stage.world.add(*(f"gpu {LEASED} compute {pid} 2GiB" for pid in (first, children[0])))
    row = eventually(lambda: stage.row(LEASED), lambda row: len(row.processes) == 2, within_s=TWO_POLLS_S)
    assert (row.state, row.foreign) == ("leased", False)
    assert {each.pid: each.notebook for each in row.processes} == {
        first: stage.victim,
        int(children[0]): stage.victim,
    }
    assert {each.user for each in row.processes} == {"notebookd"}
    other = stage.run_another()
    stage.world.add(f"gpu {FREE} compute {children[0]} 1MiB")
    event = stage.told_soon("gpu.foreign")
    assert event.notebook == other, "who computes on another notebook's GPU is a stranger there, however little"
    assert [each.notebook for each in stage.row(FREE).processes] == [stage.victim]


def test_a_process_that_outlives_its_container_keeps_the_gpu_and_then_costs_it(stage: Stage) -> None:
    """The driver says that a pid is still on the GPU: nothing of the kind can be made without a GPU."""
    machine = stage.machine
    first = int(machine.container(stage.victim)["State"]["Pid"])
    stage.world.add(f"gpu {LEASED} compute {first} 2GiB")
    eventually(lambda: stage.row(LEASED), lambda row: bool(row.processes), within_s=TWO_POLLS_S)
    machine.client.stop_notebook(stage.victim)
    machine.await_state(stage.victim, "STOPPED")
    row = stage.row(LEASED)
    assert [(each.user, each.notebook) for each in row.processes] == [("?", None)], "the process has truly ended"
    assert (row.state, row.lease) == ("foreign", None)
    assert stage.held(stage.run_another()) == {FREE}


Break = Callable[[World], None]


@pytest.mark.parametrize(
    ("fault", "trouble", "words"),
    [
        (World.vanish, "driver-not-loaded", "not loaded"),
        (lambda world: world.add("driver 999.9"), "version-mismatch", "different versions"),
        (World.write, "no-gpus", "no GPU at all"),
        (lambda world: world.add("fail nvmlDeviceGetCount_v2 UNKNOWN"), "driver-fault", "failed"),
    ],
    ids=["the driver is unloaded", "a library mismatch", "zero GPUs where there were four", "the driver fails"],
)
def test_a_driver_that_goes_is_no_gpus_lost_and_when_it_is_back_all_goes_on(
    stage: Stage, fault: Break, trouble: str, words: str
) -> None:
    machine = stage.machine
    fault(stage.world)
    gone = stage.told_soon("gpus.unavailable")
    assert gone.details is not wire.UNSET
    assert gone.details["trouble"] == trouble
    board = stage.board()
    assert words in (board.trouble or "")
    assert [(gpu.state, gpu.health.status, gpu.memory) for gpu in board.items] == [
        ("leased", "unknown", None),
        *[("free", "unknown", None)] * (GPUS - 1),
    ]
    assert machine.client.health().value.dependencies["gpus"].status == "failed"
    waiting = machine.create("toy", "odd")
    (queued,) = machine.client.queue().value.items
    assert (queued.notebook, queued.waits_for.partition(":")[0]) == (waiting, "unavailable")
    assert machine.state(stage.victim) == "RUNNING", "nothing follows from not seeing"
    stage.well()
    stage.told_soon("gpus.available")
    machine.await_state(waiting, "RUNNING")
    assert stage.held(waiting) == {FREE}
    assert (machine.state(stage.victim), stage.held(stage.victim)) == ("RUNNING", {LEASED})
    assert [each.type for each in stage.told()] == ["gpus.unavailable", "gpus.available"]


def test_who_was_stopped_while_the_driver_was_away_gives_its_gpu_back_when_it_can_be_seen(stage: Stage) -> None:
    stage.world.vanish()
    stage.told_soon("gpus.unavailable")
    stage.machine.client.stop_notebook(stage.victim)
    stage.machine.await_state(stage.victim, "STOPPED")
    assert stage.held(stage.victim) == {LEASED}
    assert "given back when the driver" in stage.why(stage.victim)
    stage.well()
    stage.told_soon("gpus.available")
    eventually(lambda: stage.held(stage.victim), lambda held: not held, within_s=TWO_POLLS_S, what="the lease back")


# By hand


def as_member(machine: Machine, *arguments: str) -> subprocess.CompletedProcess[str]:
    """notebookctl, by a member who is no admin."""
    member = ("--reuid", STRANGER, "--regid", STRANGER, "--groups", str(grp.getgrnam("notebookd").gr_gid))
    environment = (f"NOTEBOOKD_SOCKET={machine.socket}", "HOME=/nonexistent", f"PATH={machine.environment['PATH']}")
    script = 'notebookctl "$@" 2>&1; echo "status $?"'
    said = root("setpriv", *member, "env", "-i", *environment, "sh", "-c", script, "sh", *arguments)
    output, _, status = said.rpartition("status ")
    return subprocess.CompletedProcess(arguments, int(status), output)


@pytest.mark.parametrize("action", [("drain", "1"), ("undrain", "1"), ("clear", "1"), ("release",), ("acquire",)])
def test_a_member_may_look_and_not_touch(stage: Stage, action: tuple[str, ...]) -> None:
    looked = as_member(stage.machine, "gpu", "-o", "json")
    assert looked.returncode == 0, looked.stdout
    assert len(json.loads(looked.stdout)["items"]) == GPUS
    refused = as_member(stage.machine, "gpu", *action)
    assert refused.returncode == 1
    assert "admins" in refused.stdout
    assert stage.told() == []
    assert (stage.row(FREE).drained, stage.board().trouble) == (False, wire.UNSET)


def act(stage: Stage, *arguments: str) -> None:
    done = stage.machine.ctl("gpu", *arguments)
    assert done.returncode == 0, done.stderr


def test_an_admin_drains_and_undrains(stage: Stage) -> None:
    act(stage, "drain", str(FREE))
    assert (stage.row(FREE).state, stage.row(FREE).drained) == ("drained", True)
    nobody_gets_it(stage, FREE)
    act(stage, "drain", str(LEASED))
    assert (stage.row(LEASED).state, stage.row(LEASED).drained) == ("leased", True)
    act(stage, "undrain", str(FREE))
    act(stage, "undrain", str(LEASED))
    the_next_gets_it(stage, FREE)
    assert [(each.type, each.actor) for each in stage.told()] == [
        (f"gpu.{verb}ed", "root") for verb in ("drain", "drain", "undrain", "undrain")
    ]


def test_an_admin_clears_what_the_driver_calls_well_and_nothing_else(stage: Stage) -> None:
    stage.world.add(f"gpu {FREE} event xid 79", f"gpu {FREE} fail * GPU_IS_LOST")
    stage.told_soon("gpu.quarantined")
    eventually(lambda: stage.row(FREE).state, lambda state: state == "lost", within_s=TWO_POLLS_S)
    refused = stage.machine.ctl("gpu", "clear", str(FREE))
    assert (refused.returncode, "fallen off the bus" in refused.stderr) == (1, True)
    stage.world.drop(f"gpu {FREE} fail")
    eventually(lambda: stage.row(FREE).state, lambda state: state == "quarantined", within_s=TWO_POLLS_S)
    act(stage, "clear", str(FREE))
    assert stage.row(FREE).state == "free"
    the_next_gets_it(stage, FREE)


def mapped(machine: Machine) -> bool:
    """Whether the daemon has NVIDIA's library in it."""
    pid = root("cat", str(machine.run_folder / "daemon.pid")).split()[0]
    return "libnvidia-ml.so.1" in root("cat", f"/proc/{pid}/maps")


def released(stage: Stage) -> bool:
    """Whether the driver is let go of, and a request for a GPU waits for it."""
    waits_for = stage.machine.client.queue().value.items[0].waits_for
    told = "released" in (stage.board().trouble or "") and waits_for.startswith("unavailable")
    return told and not mapped(stage.machine)


def restart_daemon(stage: Stage) -> None:
    """With the same library beneath it."""
    environment = (f"NOTEBOOKD_RUN={stage.machine.run_folder}", f"LD_LIBRARY_PATH={stage.world.path.parent}")
    root("env", *environment, str(SERVICE), "restart", "daemon", timeout_s=90)


def test_an_admin_lets_the_driver_go_and_takes_it_again(stage: Stage) -> None:
    assert mapped(stage.machine)
    act(stage, "release")
    waiting = stage.machine.create("toy", "odd")
    assert released(stage)
    restart_daemon(stage)
    assert released(stage), "over a restart too"
    act(stage, "acquire")
    stage.machine.await_state(waiting, "RUNNING")
    assert mapped(stage.machine)
    types = [each.type for each in stage.told()]
    assert (types[0], "gpus.acquired" in types, types[-1]) == ("gpus.released", True, "gpus.available")
    assert stage.machine.state(stage.victim) == "RUNNING"
