# SPDX-License-Identifier: Apache-2.0
"""What is used by nobody is stopped; what may be used is not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from notebookd.adapters.files import NOTICES
from notebookd.domain.activity import ActivityApi, EditorActivity, EditorWord, Heartbeat, Kernel, Terminal
from notebookd.domain.deadlines import Reason
from notebookd.domain.ids import NotebookId
from notebookd.domain.observed import Seen
from notebookd.domain.run import NotebookState
from notebookd.testing.editor import FakeEditor
from notebookd.testing.house import House, World, make_world, open_house
from tests.scenario.play import ALICE, assert_sound, create, entry, events, outcome, run_of, state, why

HOUR = 3600
WINDOW = 4 * HOUR


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A machine that stops what idles for four hours."""
    return make_world(tmp_path, settings={"lifecycle": {"idle_stop": "4h"}})


async def hours(house: House, count: float) -> None:
    """Let so much time pass in small steps, as it does."""
    for _ in range(round(count * HOUR / 60)):
        await house.pass_time(60)


def kernel(world: World, *, busy: bool) -> Kernel:
    """A kernel, last active now."""
    return Kernel(id="k", name="python3", state="busy" if busy else "idle", last_activity_at=world.clock.now())


async def test_one_idle_on_every_signal_is_stopped_with_its_reason(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.editor.activities[notebook] = EditorActivity(kernels=(kernel(world, busy=False),))
        await hours(house, 3.9)
        assert state(house, notebook) is NotebookState.RUNNING
        assert [str(each.reason) for each in house.services.reasons.deadlines(entry(house, notebook))] == [
            "idle-stop",
            "timeout",
        ]
        for word in ("browser: no browser connection since", "kernels:", "terminals:", "gpus: GPU 0 at 0 %"):
            assert word in why(house, notebook)
        await hours(house, 0.2)
        assert state(house, notebook) is NotebookState.STOPPED
        assert outcome(house, notebook) == ("INTERRUPTED", "JOB_INTERRUPTED_BY_PLATFORM")
        assert "idle for 4h" in why(house, notebook)
        assert_sound(house)


Busy = Callable[[House, NotebookId], None]


def open_tab(house: House, notebook: NotebookId) -> None:
    house.world.traffic.note(notebook, connections=1, last_used_at=house.world.clock.now())


def silent_cell(house: House, notebook: NotebookId) -> None:
    house.world.editor.activities[notebook] = EditorActivity(kernels=(kernel(house.world, busy=True),))


def busy_gpu(house: House, notebook: NotebookId) -> None:
    house.world.gpus.work(run_of(house, notebook).gpus[0], 0.5)


def dead_gateway(house: House, notebook: NotebookId) -> None:
    house.world.traffic.up = False


def mute_editor(house: House, notebook: NotebookId) -> None:
    house.world.editor.silent = True


def unseen_gpus(house: House, notebook: NotebookId) -> None:
    house.world.gpus.become_unavailable()


@pytest.mark.parametrize("befall", [open_tab, silent_cell, busy_gpu, dead_gateway, mute_editor, unseen_gpus])
async def test_one_signal_that_is_active_or_cannot_be_seen_keeps_it_running(world: World, befall: Busy) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        befall(house, notebook)
        await hours(house, 5)
        assert state(house, notebook) is NotebookState.RUNNING


async def test_terminal_output_counts(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        for _ in range(6):
            terminal = Terminal(name="1", last_activity_at=world.clock.now())
            world.editor.activities[notebook] = EditorActivity(terminals=(terminal,))
            await hours(house, 1)
        assert state(house, notebook) is NotebookState.RUNNING
        await hours(house, 3.1)
        assert state(house, notebook) is NotebookState.STOPPED


@pytest.fixture
def code_world(tmp_path: Path) -> World:
    """The same with an editor that tells no more than code-server does."""
    image = {"editor": "jupyterlab", "framework": "conda", "version": "py311", "activity": "code-server"}
    return make_world(tmp_path, settings={"lifecycle": {"idle_stop": "4h"}, "image": [image]})


def use_cpu(house: House, notebook: NotebookId, used_s: float) -> None:
    """What runs in its container has used so much since the start."""
    pid = run_of(house, notebook).container_pid
    assert pid is not None
    house.world.processes.cpu_s[pid] = used_s


async def test_code_server_without_a_connection_and_a_program_is_stopped(code_world: World) -> None:
    async with open_house(code_world) as house:
        notebook = await create(house)
        use_cpu(house, notebook, 0.6)
        await hours(house, 3.9)
        assert state(house, notebook) is NotebookState.RUNNING
        await hours(house, 0.2)
        assert state(house, notebook) is NotebookState.STOPPED
        for part in ("idle for 4h", "no heartbeat since", "its programs use 0 % of a CPU"):
            assert part in why(house, notebook)
        assert_sound(house)


async def test_a_program_that_no_tab_shows_keeps_code_server(code_world: World) -> None:
    async with open_house(code_world) as house:
        notebook = await create(house)
        for minute in range(5 * 60):
            use_cpu(house, notebook, 6.0 * minute)
            await house.pass_time(60)
        assert state(house, notebook) is NotebookState.RUNNING
        assert "its programs use 10 % of a CPU" in why(house, notebook)


async def test_a_silent_program_that_no_kernel_knows_of_keeps_jupyterlab(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        for minute in range(5 * 60):
            use_cpu(house, notebook, 60.0 * minute)
            await house.pass_time(60)
        assert state(house, notebook) is NotebookState.RUNNING
        assert "its programs use 100 % of a CPU" in why(house, notebook)
        await hours(house, 4.1)
        assert state(house, notebook) is NotebookState.STOPPED
        assert "its programs use 0 % of a CPU" in why(house, notebook)


async def test_a_label_makes_nobody_forget_what_the_programs_had_used(code_world: World) -> None:
    async with open_house(code_world) as house:
        notebook = await create(house)
        use_cpu(house, notebook, 0.6)
        await hours(house, 0.1)
        await house.notebooks.set_label(ALICE, notebook, "colour", "blue")
        await house.quiet()
        assert "its programs use 0 % of a CPU" in why(house, notebook)


async def test_programs_that_cannot_be_seen_keep_it(code_world: World) -> None:
    code_world.processes.others_cpu_s = None
    async with open_house(code_world) as house:
        notebook = await create(house)
        await hours(house, 5)
        assert state(house, notebook) is NotebookState.RUNNING
        assert "cannot see cpus: the processes in its container cannot be seen" in why(house, notebook)


async def test_a_beating_heart_counts(code_world: World) -> None:
    async with open_house(code_world) as house:
        notebook = await create(house)
        use_cpu(house, notebook, 0.6)
        await hours(house, 3)
        code_world.editor.heartbeats[notebook] = Heartbeat(last_at=code_world.clock.now())
        await hours(house, 3.9)
        assert state(house, notebook) is NotebookState.RUNNING
        await hours(house, 0.2)
        assert state(house, notebook) is NotebookState.STOPPED


async def test_the_label_outranks_the_configuration(world: World) -> None:
    async with open_house(world) as house:
        never, soon = await create(house), await create(house)
        await house.notebooks.set_label(ALICE, never, "notebookd/idle-stop", "off")
        await house.notebooks.set_label(ALICE, soon, "notebookd/idle-stop", "30m")
        await hours(house, 0.6)
        assert [state(house, each) for each in (never, soon)] == [NotebookState.RUNNING, NotebookState.STOPPED]
        await hours(house, 4)
        assert state(house, never) is NotebookState.RUNNING


async def test_a_label_counts_at_once_whatever_windows_others_have(world: World) -> None:
    async with open_house(world) as house:
        await create(house)
        notebook = await create(house)
        await hours(house, 0.1)
        await house.notebooks.set_label(ALICE, notebook, "notebookd/idle-stop", "1m")
        await house.quiet()
        assert "not idle for 1m yet" in why(house, notebook)


class Asked(FakeEditor):
    """An editor during whose questioning something happens, once."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def activity(self, notebook_id: NotebookId, api: ActivityApi) -> Seen[EditorWord]:
        seen = await super().activity(notebook_id, api)
        if self.meanwhile is not None:
            deed, self.meanwhile = self.meanwhile, None
            await deed()
        return seen


async def test_a_label_counts_that_comes_while_the_last_look_is_taken(world: World) -> None:
    world.editor = editor = Asked(world.engine)
    async with open_house(world) as house:
        notebook = await create(house)
        await hours(house, 4 - 1 / 60)
        editor.meanwhile = lambda: house.notebooks.set_label(ALICE, notebook, "colour", "blue")
        await hours(house, 0.1)
        assert state(house, notebook) is NotebookState.RUNNING


async def test_what_a_person_does_to_it_is_activity(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await hours(house, 3)
        await house.notebooks.set_label(ALICE, notebook, "colour", "blue")
        await hours(house, 3)
        assert state(house, notebook) is NotebookState.RUNNING
        await hours(house, 1.1)
        assert state(house, notebook) is NotebookState.STOPPED


async def test_a_clock_set_an_hour_forward_stops_nobody_early(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await hours(house, 3.5)
        world.clock.step_wall(HOUR)
        await hours(house, 0.3)
        assert state(house, notebook) is NotebookState.RUNNING


async def test_who_idles_is_told_before_and_forgiven_when_he_comes_back(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        notice = world.config.paths.workspaces / notebook / NOTICES[Reason.IDLE_STOP]

        def told() -> list[tuple[str, int]]:
            found = [each.data for each in events(house, notebook) if each.type == "notebook.warning"]
            return [(data["reason"], round(data["leftSeconds"] / 600)) for data in found]

        await hours(house, 3.1)
        assert told() == [("idle-stop", 6)]
        assert "idle" in notice.read_text()
        world.editor.activities[notebook] = EditorActivity(kernels=(kernel(world, busy=False),))
        await hours(house, 0.1)
        assert not notice.exists()
        await hours(house, 3.9)
        assert told() == [("idle-stop", 6), ("idle-stop", 6), ("idle-stop", 1)]
        assert state(house, notebook) is NotebookState.RUNNING
        await hours(house, 0.2)
        assert state(house, notebook) is NotebookState.STOPPED


async def test_a_restarted_daemon_stops_nobody_early_and_in_the_end(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await hours(house, 2)
    async with open_house(world) as house:
        await hours(house, 1)
        assert state(house, notebook) is NotebookState.RUNNING
        await hours(house, 3.2)
        assert state(house, notebook) is NotebookState.STOPPED


async def test_nobody_is_stopped_where_nothing_says_so(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    async with open_house(world) as house:
        notebook = await create(house)
        await hours(house, 6)
        assert state(house, notebook) is NotebookState.RUNNING
        assert "idle" not in why(house, notebook)
