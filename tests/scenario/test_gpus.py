# SPDX-License-Identifier: Apache-2.0
"""Strangers, sickness, a driver that comes and goes: what befalls GPUs, and what follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from notebookd.domain.ids import NotebookId
from notebookd.domain.run import NotebookState
from notebookd.errors import Conflict, Forbidden, GpusUnavailable, NotFound
from notebookd.service.gpus import BoardRow
from notebookd.testing.gpus import FakeGpus
from notebookd.testing.house import House, World, make_world, open_house
from tests.scenario.play import (
    ADMIN,
    ALICE,
    BOB,
    STARTED,
    assert_sound,
    container_of,
    create,
    entry,
    events,
    history,
    leased,
    outcome,
    run_of,
    state,
)

GIB = 1024**3
STRANGER = 31337


@pytest.fixture
def first(world: World) -> str:
    """The UUID of GPU 0."""
    return world.gpus.uuids[0]


@pytest.fixture
def second(world: World) -> str:
    """The UUID of GPU 1."""
    return world.gpus.uuids[1]


def arrive(world: World, uuid: str, *, memory_bytes: int | None = GIB, command: str = "python3") -> None:
    """Carol, who asked nobody, starts something on a GPU."""
    world.processes.add(STRANGER, user="carol", command=command)
    world.gpus.add_process(uuid, STRANGER, memory_bytes=memory_bytes)


def leave(world: World) -> None:
    """And ends it."""
    world.gpus.end_process(STRANGER)
    world.processes.end(STRANGER)


def compute(world: World, notebook: NotebookId, pid: int) -> None:
    """A kernel of the notebook computes on its GPUs, seen by the pid namespace that it shares with its init."""
    init = container_of(world, notebook).pid
    assert init is not None
    world.processes.add(init, user="notebookd", pid_namespace=f"4:{init}")
    world.processes.add(pid, user="notebookd", pid_namespace=f"4:{init}")
    for uuid in world.gpus.uuids:
        if uuid in {device.partition("=")[2] for device in container_of(world, notebook).spec.devices}:
            world.gpus.add_process(uuid, pid)


async def board(house: House) -> tuple[BoardRow, ...]:
    """The rows of the board."""
    return (await house.services.gpus.board()).rows


async def states(house: House) -> list[str]:
    """What the board calls each GPU."""
    return [row.state for row in await board(house)]


def told(house: House, notebook: NotebookId | None = None) -> list[str]:
    """The types of the events about GPUs."""
    return [each.type for each in events(house, notebook) if each.type.startswith("gpu")]


async def test_a_stranger_on_a_free_gpu_is_named_and_the_gpu_is_not_given(
    world: World, first: str, second: str
) -> None:
    async with open_house(world) as house:
        arrive(world, first)
        assert await states(house) == ["foreign", "free"]
        (row, _) = await board(house)
        assert [(each.user, each.pid, each.command, each.memory_bytes) for each in row.unit.occupants] == [
            ("carol", STRANGER, "python3", GIB)
        ]
        notebooks = [await create(house), await create(house)]
        assert [leased(house, each) for each in notebooks] == [[second], []]
        leave(world)
        await house.pass_time(6)
        assert [leased(house, each) for each in notebooks] == [[second], [first]]
        assert told(house) == ["gpu.foreign", "gpu.foreign-gone"]


@pytest.mark.parametrize(
    ("memory_bytes", "command", "seen"),
    [
        (256 * 1024**2, "python3", "free"),
        (256 * 1024**2 + 1, "python3", "foreign"),
        (None, "python3", "foreign"),
        (8 * GIB, "Xorg", "free"),
        (8 * GIB, "Xorg2", "foreign"),
    ],
)
async def test_how_much_a_stranger_may_use_before_it_counts(
    world: World, first: str, memory_bytes: int | None, command: str, seen: str
) -> None:
    async with open_house(world) as house:
        arrive(world, first, memory_bytes=memory_bytes, command=command)
        assert (await states(house))[0] == seen
        assert len((await board(house))[0].unit.occupants) == 1, "whoever counts, all are shown"


async def test_a_gpu_with_memory_that_nobody_holds_is_given_when_no_other_is_free_and_says_so(
    world: World, first: str, second: str
) -> None:
    async with open_house(world) as house:
        world.gpus.leave_memory(first, 70 * GIB)
        rows = await board(house)
        assert [(row.state, row.unit.leftover_bytes) for row in rows] == [("free", 70 * GIB), ("free", 0)]
        notebooks = [await create(house), await create(house)]
        assert [leased(house, each) for each in notebooks] == [[second], [first]]
        clean, marked = (house.services.reasons.sentences(entry(house, each)) for each in notebooks)
        assert not [each for each in clean if "held by no process" in each]
        (said,) = [each for each in marked if "held by no process" in each]
        assert said.startswith(f"GPU 0 ({first}): 70.0 GiB of its memory is held by no process that is seen.")


async def test_by_configuration_a_gpu_with_memory_that_nobody_holds_is_given_to_nobody(tmp_path: Path) -> None:
    world = make_world(tmp_path, settings={"gpus": {"lease_leftover": False}})
    first, second = world.gpus.uuids
    async with open_house(world) as house:
        world.gpus.leave_memory(first, 70 * GIB)
        notebooks = [await create(house), await create(house)]
        assert [leased(house, each) for each in notebooks] == [[second], []]
        row, _ = await board(house)
        assert (row.state, row.unit.reason) == (
            "quarantined",
            "70.0 GiB of its memory is held by no process that is seen, and [gpus] lease_leftover is false",
        )
        world.gpus.leave_memory(first, GIB)
        await house.pass_time(6)
        assert leased(house, notebooks[1]) == [first]


@pytest.mark.parametrize(
    ("left", "memory_bytes", "leftover"),
    [(GIB, GIB, 0), (GIB + 1, GIB, GIB + 1), (8 * GIB, None, 0)],
    ids=["little", "more", "a process that does not say what it has"],
)
async def test_how_much_memory_may_be_held_by_nobody(
    world: World, first: str, left: int, memory_bytes: int | None, leftover: int
) -> None:
    async with open_house(world) as house:
        world.gpus.leave_memory(first, left)
        arrive(world, first, memory_bytes=memory_bytes)
        assert (await board(house))[0].unit.leftover_bytes == leftover


async def test_a_process_that_is_gone_before_it_could_be_looked_at_is_a_stranger(world: World, first: str) -> None:
    async with open_house(world) as house:
        world.gpus.add_process(first, 999)
        (row, _) = await board(house)
        assert (row.state, row.unit.occupants[0].user) == ("foreign", "?")


async def test_a_stranger_that_arrives_on_a_leased_gpu_is_shown_told_and_explained(world: World, first: str) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        compute(world, notebook, 500)
        arrive(world, first)
        await house.pass_time(6)
        (row, _) = await board(house)
        assert (row.state, row.unit.foreign) == ("leased", True)
        assert {each.pid: each.notebook_id for each in row.unit.occupants} == {500: notebook, STRANGER: None}
        (event,) = [each for each in events(house, notebook) if each.type == "gpu.foreign"]
        assert event.data["processes"] == [{"pid": STRANGER, "user": "carol", "command": "python3", "memory": GIB}]
        assert any(
            "carol's python3" in sentence for sentence in house.services.reasons.sentences(entry(house, notebook))
        )
        assert state(house, notebook) is NotebookState.RUNNING


async def test_its_own_processes_are_no_strangers(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house, gpu=2)
        compute(world, notebook, 500)
        assert [(row.state, row.unit.foreign) for row in await board(house)] == [("leased", False)] * 2
        assert told(house) == []


async def test_a_cgroup_named_after_a_container_makes_nobody_one_of_ours(world: World, first: str) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.processes.add(STRANGER, user="carol", container_id=container_of(world, notebook).id)
        world.gpus.add_process(first, STRANGER)
        (row, _) = await board(house)
        assert (row.unit.foreign, row.unit.occupants[0].notebook_id) == (True, None)


async def test_who_has_a_dead_containers_pid_is_not_taken_for_it(world: World, first: str) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        init = run_of(house, notebook).container_pid
        assert init is not None
        world.processes.add(init, user="carol")
        arrive(world, first)
        (row, _) = await board(house)
        assert (row.unit.foreign, row.unit.occupants[0].notebook_id) == (True, None)


async def test_a_gpu_taken_between_grant_and_start_is_given_back_and_another_chosen(
    world: World, first: str, second: str
) -> None:
    async with open_house(world) as house:
        world.engine.before("create", lambda: arrive(world, first))
        notebook = await create(house)
        assert leased(house, notebook) == [second]
        assert history(house, notebook) == STARTED
        assert container_of(world, notebook).spec.devices == (f"nvidia.com/gpu={second}",)
        granted = [each.data["gpus"] for each in events(house, notebook) if each.type == "lease.granted"]
        assert granted == [[first], [second]]
        assert "gpu.foreign" in told(house, notebook)
        assert_sound(house)


async def test_who_gives_a_taken_gpu_back_keeps_his_place(world: World, first: str) -> None:
    async with open_house(world) as house:
        holder = await create(house)
        world.engine.before("create", lambda: arrive(world, world.gpus.uuids[1]))
        unlucky = await create(house)
        later = await create(house)
        await house.notebooks.stop(ALICE, holder)
        await house.quiet()
        assert leased(house, unlucky) == [first]
        assert leased(house, later) == []


Ill = Callable[[World, str], None]
SICK: dict[str, tuple[Ill, str, str]] = {
    "Xid 79": (lambda world, uuid: world.gpus.report(uuid, 79, world.clock.now()), "quarantined", "Xid 79"),
    "double-bit ECC": (lambda world, uuid: world.gpus.report(uuid, None, world.clock.now()), "quarantined", "ECC"),
    "lost": (lambda world, uuid: world.gpus.lose(uuid), "lost", "fallen off the bus"),
    "MIG": (lambda world, uuid: world.gpus.set_mig(uuid), "unsupported", "MIG"),
}


@pytest.mark.parametrize("name", SICK)
async def test_a_sick_gpu_is_kept_from_everybody(world: World, first: str, second: str, name: str) -> None:
    befall, word, reason = SICK[name]
    async with open_house(world) as house:
        befall(world, first)
        assert await states(house) == [word, "free"]
        assert reason in ((await board(house))[0].unit.reason or "")
        assert leased(house, await create(house)) == [second]
        assert leased(house, await create(house)) == []
        assert_sound(house)


async def test_mig_mode_is_on_record_when_it_is_switched_on_and_off(world: World, first: str) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.gpus.set_mig(first)
        await house.pass_time(6)
        assert [each.data["gpu"] for each in events(house, notebook) if each.type == "gpu.mig"] == [first]
        world.gpus.become_unavailable()
        await house.pass_time(6)
        world.gpus.become_available()
    async with open_house(world) as house:
        await house.pass_time(6)
        assert [each for each in told(house) if each.startswith("gpu.")] == ["gpu.mig"]
        world.gpus.heal(first)
        await house.pass_time(6)
        assert [each for each in told(house) if each.startswith("gpu.")] == ["gpu.mig", "gpu.mig-off"]


@pytest.mark.parametrize("name", ["Xid 79", "double-bit ECC", "lost"])
async def test_a_quarantine_names_whom_it_hit_and_outlives_the_daemon_until_a_boot(
    world: World, first: str, name: str
) -> None:
    befall, _, _ = SICK[name]
    async with open_house(world) as house:
        notebook = await create(house)
        befall(world, first)
        await house.pass_time(6)
        quarantine = (await board(house))[0].quarantine
        assert quarantine is not None
        assert quarantine.notebook_id == notebook
        assert "gpu.quarantined" in told(house, notebook)
        assert state(house, notebook) is NotebookState.RUNNING
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
    world.gpus.heal(first)
    async with open_house(world) as house:
        assert await states(house) == ["quarantined", "free"]
    world.engine.reboot()
    world.clock.reboot()
    async with open_house(world) as house:
        assert await states(house) == ["free", "free"]
        assert told(house)[-1] == "gpu.cleared"


async def test_an_xid_of_the_program_is_told_its_owner_and_nothing_follows(world: World, first: str) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.gpus.report(first, 31, world.clock.now())
        await house.pass_time(6)
        assert await states(house) == ["leased", "free"]
        assert [each.data["xid"] for each in events(house, notebook) if each.type == "gpu.xid"] == [31]


async def test_an_admin_clears_a_gpu_that_the_driver_calls_well(world: World, first: str) -> None:
    async with open_house(world) as house:
        world.gpus.report(first, 79, world.clock.now())
        assert (await states(house))[0] == "quarantined"
        with pytest.raises(Forbidden):
            await house.services.gpus.clear(ALICE, first)
        with pytest.raises(NotFound):
            await house.services.gpus.clear(ADMIN, "GPU-none")
        world.gpus.lose(first)
        with pytest.raises(Conflict, match="fallen off the bus"):
            await house.services.gpus.clear(ADMIN, first)
        world.gpus.heal(first)
        await house.services.gpus.clear(ADMIN, first)
        await house.services.gpus.clear(ADMIN, first)
        assert (await states(house))[0] == "free"
        assert told(house) == ["gpu.quarantined", "gpu.cleared"]


async def test_a_cleared_gpu_goes_to_who_waits(world: World) -> None:
    async with open_house(world) as house:
        for uuid in world.gpus.uuids:
            world.gpus.report(uuid, 79, world.clock.now())
        notebook = await create(house)
        assert state(house, notebook) is NotebookState.STARTING
        await house.services.gpus.clear(ADMIN, world.gpus.uuids[1])
        await house.quiet()
        assert leased(house, notebook) == [world.gpus.uuids[1]]


@pytest.mark.parametrize("by", ["a restart", "seven days"])
async def test_a_notebook_on_a_sick_gpu_moves_to_another_ahead_of_all_who_wait(
    world: World, first: str, second: str, by: str
) -> None:
    async with open_house(world) as house:
        hit = await create(house, auto_restart=True)
        await house.pass_time(60)
        neighbour = await create(house, BOB)
        waiting = await create(house, BOB)
        world.gpus.report(first, 79, world.clock.now())
        await house.pass_time(6)
        if by == "a restart":
            await house.notebooks.restart(ALICE, hit)
            await house.quiet()
        else:
            await house.pass_time(world.policy.max_running_s - 66)
        moved, again = house.store.list_runs(hit)
        assert moved.outcome is not None
        assert (moved.state, "Xid 79" in moved.outcome.message) == ("INTERRUPTED", True)
        assert (again.state, again.waiting, moved.holds) == ("PENDING", True, False)
        await house.notebooks.stop(BOB, neighbour)
        await house.quiet()
        assert leased(house, hit) == [second]
        assert leased(house, waiting) == [], "it stood behind, and stands behind"
        assert_sound(house)


async def test_who_stops_and_starts_on_a_sick_gpu_is_served_first(world: World, first: str) -> None:
    async with open_house(world) as house:
        hit, neighbour, waiting = await create(house), await create(house), await create(house, BOB)
        world.gpus.report(first, 79, world.clock.now())
        await house.pass_time(6)
        await house.notebooks.stop(ALICE, hit)
        await house.quiet()
        await house.notebooks.start(ALICE, hit)
        await house.quiet()
        await house.notebooks.stop(ALICE, neighbour)
        await house.quiet()
        assert leased(house, hit) == [world.gpus.uuids[1]]
        assert leased(house, waiting) == []


async def test_a_gpu_is_given_on_only_when_no_process_of_the_run_is_left(world: World, first: str) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        compute(world, notebook, 500)
        await house.pass_time(6)
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        await house.pass_time(5)
        assert state(house, notebook) is NotebookState.STOPPING
        assert leased(house, notebook) == [first]
        assert any("still on it" in sentence for sentence in house.services.reasons.sentences(entry(house, notebook)))
        world.gpus.end_process(500)
        await house.pass_time(6)
        assert state(house, notebook) is NotebookState.STOPPED
        assert leased(house, notebook) == []
        assert await states(house) == ["free", "free"]


async def test_a_process_that_cannot_be_killed_costs_its_gpu_and_not_the_run(world: World, first: str) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        compute(world, notebook, 500)
        await house.pass_time(6)
        await house.notebooks.stop(ALICE, notebook)
        for _ in range(40):
            await house.pass_time(1)
        assert state(house, notebook) is NotebookState.STOPPED
        assert leased(house, notebook) == []
        row = (await board(house))[0]
        assert (row.state, "pid 500" in (row.unit.reason or "")) == ("quarantined", True)
        assert "gpu.quarantined" in told(house, notebook)
        assert_sound(house)


async def test_a_container_that_vanished_keeps_its_gpu_until_the_driver_confirms(world: World, first: str) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.gpus.become_unavailable()
        del world.engine.containers[container_of(world, notebook).spec.name]
        await house.pass_time(11)
        assert outcome(house, notebook)[0] == "ERROR"
        assert state(house, notebook) is NotebookState.ERROR
        assert leased(house, notebook) == [first]
        with pytest.raises(GpusUnavailable):
            await house.notebooks.start(ALICE, notebook)
    async with open_house(world) as house:
        await house.pass_time(30)
        assert leased(house, notebook) == [first], "over a restart of the daemon too"
        world.gpus.become_available()
        for _ in range(3):
            await house.pass_time(61)
        assert leased(house, notebook) == []
        await house.notebooks.start(ALICE, notebook)
        await house.quiet()
        assert state(house, notebook) is NotebookState.RUNNING
        assert_sound(house)


async def test_nothing_is_started_on_a_grant_that_nobody_can_see_any_more(world: World) -> None:
    async with open_house(world) as house:
        world.engine.before("create", world.gpus.become_unavailable)
        notebook = await create(house)
        assert state(house, notebook) is NotebookState.RUNNING, "made already: nothing follows from not seeing"
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        assert state(house, notebook) is NotebookState.STOPPED


async def test_a_driver_that_goes_and_comes_is_on_record_once(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.gpus.become_unavailable("kernel module not loaded")
        for _ in range(4):
            await house.pass_time(6)
        seen = await house.services.gpus.board()
        assert "kernel module not loaded" in (seen.trouble or "")
        assert [(row.state, row.sample) for row in seen.rows] == [("leased", None), ("free", None)]
        assert state(house, notebook) is NotebookState.RUNNING
    async with open_house(world) as house:
        await house.pass_time(6)
        world.gpus.become_available()
        await house.pass_time(6)
        assert told(house) == ["gpus.unavailable", "gpus.available"]


async def test_while_the_driver_is_let_go_nothing_is_leased(world: World) -> None:
    async with open_house(world) as house:
        with pytest.raises(Forbidden):
            await house.services.gpus.release(ALICE)
        await house.services.gpus.release(ADMIN)
        notebook = await create(house)
        assert state(house, notebook) is NotebookState.STARTING
        assert "released" in ((await house.services.gpus.board()).trouble or "")
        await house.services.gpus.acquire(ADMIN)
        await house.quiet()
        assert state(house, notebook) is NotebookState.RUNNING
        types = [each.type for each in events(house) if each.type.startswith("gpus.")]
        assert (types[0], "gpus.acquired" in types, types[-1]) == ("gpus.released", True, "gpus.available")


async def test_a_driver_that_was_let_go_stays_so_over_a_restart_until_it_is_taken_or_the_host_booted(
    world: World,
) -> None:
    def restart() -> None:
        world.gpus = FakeGpus()  # a process of its own: it knows nothing of the one before

    async with open_house(world) as house:
        running = await create(house)
        await house.services.gpus.release(ADMIN)
    restart()
    async with open_house(world) as house:
        assert world.gpus.calls[0] == "release", "before it was asked anything"
        await house.pass_time(61)
        beside = await create(house, BOB, cpu=1)
        assert "released" in ((await house.services.gpus.board()).trouble or "")
        assert [state(house, each) for each in (running, beside)] == [NotebookState.RUNNING] * 2
        await house.services.gpus.acquire(ADMIN)
        assert await states(house) == ["leased", "free"]
    restart()
    async with open_house(world) as house:
        assert await states(house) == ["leased", "free"], "taken once, it stays taken"
        await house.services.gpus.release(ADMIN)
    restart()
    world.engine.reboot()
    world.clock.reboot()
    async with open_house(world) as house:
        await house.quiet()
        assert (await house.services.gpus.board()).trouble is None
        assert_sound(house)


async def test_the_driver_is_asked_rarely_while_nobody_needs_to_know(world: World) -> None:
    async with open_house(world) as house:
        await house.quiet()

        async def asked_in_a_minute() -> int:
            before = world.gpus.calls.count("sample")
            for _ in range(60):
                await house.pass_time(1)
            return world.gpus.calls.count("sample") - before

        assert await asked_in_a_minute() <= 2
        await board(house)
        assert await asked_in_a_minute() >= 10
        for _ in range(2):
            await asked_in_a_minute()
        assert await asked_in_a_minute() <= 2
        await create(house)
        assert await asked_in_a_minute() >= 11


async def test_what_a_run_makes_of_its_gpus_is_kept(world: World, first: str, second: str) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        run_id = run_of(house, notebook).id
        compute(world, notebook, 500)
        world.gpus.work(first, 0.5, energy_j=100)
        world.gpus.work(second, 1.0, energy_j=10_000)
        for _ in range(20):
            await house.pass_time(5)
            world.gpus.work(first, 0.5, energy_j=1000)
        await house.notebooks.stop(ALICE, notebook)
        world.gpus.end_process(500)
        await house.quiet()
        await house.pass_time(6)
        (use,) = house.store.list_run_use(run_id).items()
        assert use[0] == first
        assert use[1].sampled_s >= 95
        assert use[1].busy_s == pytest.approx(use[1].sampled_s / 2, rel=0.05)
        assert (use[1].peak_utilisation, use[1].peak_memory_bytes) == (0.5, GIB)
        assert 18_000 <= use[1].energy_j <= 20_100
