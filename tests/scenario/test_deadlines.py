# SPDX-License-Identifier: Apache-2.0
"""Seven days, warnings before, extensions, auto-restart: the clock of a notebook."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from notebookd.adapters.files import NOTICES
from notebookd.domain.deadlines import Reason
from notebookd.domain.ids import NotebookId
from notebookd.domain.patch import Patch
from notebookd.domain.run import NotebookState
from notebookd.domain.spec import SpecWish
from notebookd.errors import Conflict, Forbidden, InvalidRequest
from notebookd.testing.house import House, World, open_house
from tests.scenario.play import (
    ALICE,
    BOB,
    STARTED,
    assert_sound,
    container_of,
    create,
    entry,
    events,
    history,
    outcome,
    patch,
    run_of,
    state,
)

DAY, HOUR = 86400, 3600
WEEK = 7 * DAY


def notice_of(world: World, notebook: NotebookId) -> Path:
    """Where the notice lies in the workspace."""
    return world.config.paths.workspaces / notebook / NOTICES[Reason.TIMEOUT]


def warnings(house: House, notebook: NotebookId) -> list[int]:
    """How long before the end each warning was given, in seconds."""
    return [each.data["leftSeconds"] for each in events(house, notebook) if each.type == "notebook.warning"]


async def test_a_user_is_warned_a_day_an_hour_and_ten_minutes_before_the_end(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await house.pass_time(WEEK - DAY - 1)
        assert not notice_of(world, notebook).exists()
        for step in (1, DAY - HOUR, HOUR - 600):
            await house.pass_time(step)
            assert "is stopped" in notice_of(world, notebook).read_text()
        assert warnings(house, notebook) == [DAY, HOUR, 600]
        await house.pass_time(600)
        assert outcome(house, notebook) == ("TIMEOUT", "JOB_TIMEOUT")
        assert_sound(house)


async def test_warnings_are_given_once_over_restarts_of_the_daemon(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await house.pass_time(WEEK - DAY + 5)
    async with open_house(world) as house:
        await house.pass_time(60)
        assert warnings(house, notebook) == [DAY - 5]


async def test_warnings_slept_through_are_given_as_one(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
    world.clock.step(WEEK - 300)
    async with open_house(world) as house:
        await house.quiet()
        assert warnings(house, notebook) == [300]


async def test_an_extension_takes_the_notice_back_and_moves_the_end(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        began = run_of(house, notebook)
        await house.pass_time(WEEK - 60)
        assert notice_of(world, notebook).exists()
        moved = await house.notebooks.extend(ALICE, notebook, by=timedelta(days=2))
        await house.quiet()
        assert began.timeout_at is not None
        assert moved == began.timeout_at + timedelta(days=2)
        assert not notice_of(world, notebook).exists()
        await house.pass_time(DAY)
        assert state(house, notebook) is NotebookState.RUNNING
        assert run_of(house, notebook).container_started_at == began.container_started_at, "it was not touched"
        assert [each.actor for each in events(house, notebook) if each.type == "notebook.extended"] == ["alice"]
        await house.pass_time(DAY + 61)
        assert outcome(house, notebook)[0] == "TIMEOUT"


async def test_an_extension_ends_at_28_days_of_running(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        begun = run_of(house, notebook).state_since
        latest = begun + timedelta(days=28)
        assert await house.notebooks.extend(ALICE, notebook, until=latest) == latest
        with pytest.raises(InvalidRequest, match="at the latest"):
            await house.notebooks.extend(ALICE, notebook, by=timedelta(seconds=1))
        with pytest.raises(InvalidRequest, match="before its deadline"):
            await house.notebooks.extend(ALICE, notebook, until=begun + timedelta(days=8))
        with pytest.raises(Forbidden):
            await house.notebooks.extend(BOB, notebook, by=timedelta(hours=1))
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        with pytest.raises(Conflict):
            await house.notebooks.extend(ALICE, notebook, by=timedelta(hours=1))


async def test_auto_restart_keeps_container_gpus_and_files_and_begins_a_new_week(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house, auto_restart=True)
        before, container = run_of(house, notebook), container_of(world, notebook).id
        await house.pass_time(WEEK)
        after = run_of(house, notebook)
        assert history(house, notebook) == [*STARTED, "RESTARTING", "RUNNING"]
        assert (after.id, after.gpus, container_of(world, notebook).id) == (before.id, before.gpus, container)
        assert after.timeout_at == after.state_since + timedelta(seconds=WEEK)
        await house.pass_time(WEEK - DAY)
        assert warnings(house, notebook)[-1] == DAY
        assert "restarted as it is" in notice_of(world, notebook).read_text()


@pytest.mark.parametrize(("switched", "ends"), [(True, "RUNNING"), (False, "TIMEOUT")])
async def test_switching_auto_restart_counts_at_once(world: World, switched: bool, ends: str) -> None:
    async with open_house(world) as house:
        notebook = await create(house, auto_restart=not switched)
        await house.pass_time(WEEK - 1)
        await patch(house, notebook, timeout_auto_restart=switched)
        (deadline,) = house.services.reasons.deadlines(entry(house, notebook))
        assert ("restarted as it is" in deadline.why) is switched
        await house.pass_time(1)
        assert history(house, notebook)[-1] == ends


@pytest.mark.parametrize(("switched", "ends"), [(True, "RUNNING"), (False, "TIMEOUT")])
async def test_a_switch_counts_that_comes_while_the_last_look_is_taken(world: World, switched: bool, ends: str) -> None:
    async with open_house(world) as house:
        notebook = await create(house, auto_restart=not switched)
        looking = world.engine.hold("find")
        world.clock.step(WEEK)
        await looking.entered.wait()
        change = Patch(wish=SpecWish(timeout_auto_restart=switched), given=frozenset({"timeout_auto_restart"}))
        await house.notebooks.update(ALICE, notebook, change)
        looking.release()
        await house.quiet()
        assert history(house, notebook)[-1] == ends


async def test_deadlines_overdue_at_a_start_fire_once_and_in_order(world: World) -> None:
    async with open_house(world) as house:
        made: list[NotebookId] = []
        for _ in range(2):
            made.append(await create(house))
            await house.pass_time(60)
        await house.notebooks.extend(ALICE, made[0], by=timedelta(days=1))
    world.clock.step(WEEK + 2 * DAY)
    async with open_house(world) as house:
        await house.quiet()
        fired = [each.notebook_id for each in events(house) if each.data.get("runState") == "INTERRUPTING"]
        assert fired == [made[1], made[0]]
        assert [outcome(house, each)[0] for each in made] == ["TIMEOUT", "TIMEOUT"]


async def test_why_names_the_deadline_and_what_moves_it(world: World) -> None:
    async with open_house(world) as house:
        holder, waiting = await create(house, gpu=2), await create(house)
        (runs_out,) = house.services.reasons.deadlines(entry(house, holder))
        assert (runs_out.reason, runs_out.at) == (Reason.TIMEOUT, run_of(house, holder).timeout_at)
        assert "extend" in (runs_out.moved_by or "")
        (waits,) = house.services.reasons.deadlines(entry(house, waiting))
        assert waits.reason is Reason.QUEUE_TIMEOUT
        await house.notebooks.stop(ALICE, holder)
        await house.quiet()
        assert house.services.reasons.deadlines(entry(house, holder)) == []
        assert house.services.reasons.sentences(entry(house, holder)) == [
            "It ended: stopped by alice (JOB_INTERRUPTED).",
            "Its editor exited with status 0.",
        ]


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "full folder", "locked"])
async def test_a_hostile_workspace_takes_no_harm_and_does_none(world: World, tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the host's")
    async with open_house(world) as house:
        notebook = await create(house)
        place = notice_of(world, notebook)
        match kind:
            case "link":
                place.symlink_to(secret)
            case "fifo":
                os.mkfifo(place)
            case "folder":
                place.mkdir()
            case "full folder":
                (place / "in it").mkdir(parents=True)
            case "locked":
                place.write_text("mine")
                place.chmod(0)
        await house.pass_time(WEEK - HOUR)
        assert warnings(house, notebook) == [HOUR]
        assert secret.read_text() == "the host's"
        if kind in {"link", "fifo", "locked"}:
            assert "is stopped" in place.read_text()
        await house.notebooks.extend(ALICE, notebook, by=timedelta(days=3))
        await house.quiet()
        assert secret.read_text() == "the host's"
        await house.pass_time(3 * DAY + HOUR)
        assert outcome(house, notebook)[0] == "TIMEOUT"
