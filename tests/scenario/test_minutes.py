# SPDX-License-Identifier: Apache-2.0
"""Every commenced minute of RUNNING, and no other: over stops, restarts, crashes, reboots and clocks that jump."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from notebookd.domain.actor import Actor
from notebookd.domain.billing import Tariff, Window, minutes
from notebookd.domain.clocks import wall_ms
from notebookd.domain.ids import NotebookId
from notebookd.domain.quota import QuotaRule
from notebookd.domain.rules import Rules
from notebookd.domain.run import RunState
from notebookd.domain.usage import GroupKey
from notebookd.errors import Forbidden, NotFound, QuotaExceeded
from notebookd.record.meter import Meter
from notebookd.service.usage import Usage, spent_gpu_minutes
from notebookd.testing.house import House, World, open_house
from tests.scenario.play import (
    ADMIN,
    ALICE,
    BOB,
    container_of,
    create,
    events,
    history,
    outcome,
    patch,
    run_of,
)

WEEK_S = 7 * 86400
ALWAYS = Window(0, 10**14)


def usage(house: House) -> Usage:
    return Usage(house.store, Meter(house.store, house.world.clock, Rules))


def stays(house: House, notebook: NotebookId) -> list[int | None]:
    """The minutes of each stay of all runs; None for one that goes on."""
    found = [each for run in house.store.list_runs(notebook) for each in house.store.list_intervals(run.id)]
    return [None if each.length_ms is None else minutes(each.length_ms) for each in found]


async def spend(house: House, seconds: float) -> None:
    """Let time pass in which the daemon looks around as it does."""
    while seconds > 0:
        await house.pass_time(min(seconds, 10))
        seconds -= 10


async def stop(house: House, notebook: NotebookId) -> None:
    await house.notebooks.stop(ALICE, notebook)
    await house.quiet()


def jumps(house: House) -> list[tuple[str, object]]:
    return [
        (each.type, each.data.get("seconds")) for each in events(house) if each.type.startswith(("clock.", "host."))
    ]


@pytest.mark.parametrize(("seconds", "expected"), [(0, 1), (0.2, 1), (59.9, 1), (60, 1), (60.1, 2), (3600, 60)])
async def test_a_stay_is_billed_by_commenced_minutes(world: World, seconds: float, expected: int) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        assert stays(house, notebook) == [None]
        await house.pass_time(seconds)
        await stop(house, notebook)
        assert stays(house, notebook) == [expected]


async def test_a_week_is_ten_thousand_and_eighty_minutes(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await house.pass_time(WEEK_S)
        assert outcome(house, notebook) == ("TIMEOUT", "JOB_TIMEOUT")
        assert stays(house, notebook) == [10_080]


async def test_only_running_is_billed(world: World) -> None:
    world.editor.silent = True
    async with open_house(world) as house:
        notebook = await create(house)
        await house.pass_time(300)
        assert stays(house, notebook) == []
        world.editor.silent = False
        await house.pass_time(5)
        assert run_of(house, notebook).state is RunState.RUNNING
        await house.pass_time(30)
        world.engine.reachable = False
        await stop(house, notebook)
        await house.pass_time(3600)
        assert stays(house, notebook) == [1]


async def test_a_restart_opens_another_stay(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await house.pass_time(90)
        await house.notebooks.restart(ALICE, notebook)
        await house.quiet()
        await house.pass_time(90)
        await stop(house, notebook)
        assert stays(house, notebook) == [2, 2]


async def test_a_restart_at_the_deadline_opens_another_stay_and_bills_each_to_its_end(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house, auto_restart=True)
        await house.pass_time(WEEK_S)
        assert history(house, notebook) == ["PENDING", "RUNNING", "RESTARTING", "RUNNING"]
        await house.pass_time(61)
        await stop(house, notebook)
        assert stays(house, notebook) == [10_080, 2]


async def test_a_second_run_has_a_bill_of_its_own(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await stop(house, notebook)
        await house.pass_time(86_400)
        await house.notebooks.start(ALICE, notebook)
        await house.quiet()
        await house.pass_time(61)
        await stop(house, notebook)
        assert stays(house, notebook) == [1, 2]
        assert len({bill.run_id for bill in house.store.list_bills(notebook)}) == 2


async def test_a_deadline_that_passed_while_the_daemon_was_dead_is_billed_to_its_time(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
    world.clock.step(WEEK_S + 30 * 86_400)
    async with open_house(world) as house:
        await house.quiet()
        assert stays(house, notebook) == [10_080]


async def test_a_container_that_ended_while_the_daemon_was_dead_is_billed_to_its_own_end(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await spend(house, 300)
    world.clock.step(600)
    world.engine.end(container_of(world, notebook).spec.name, 0)
    world.clock.step(9000)
    async with open_house(world) as house:
        await house.quiet()
        assert stays(house, notebook) == [15]


async def test_a_container_that_ended_nobody_knows_when_is_billed_to_where_it_was_last_seen(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await spend(house, 305)
    world.clock.step(600)
    world.engine.kill_conmon(container_of(world, notebook).spec.name)
    world.engine.end(container_of(world, notebook).spec.name, 137)
    world.clock.step(9000)
    async with open_house(world) as house:
        await house.quiet()
        assert stays(house, notebook) == [5], "the checkpoint of 300 s"


async def test_a_life_of_the_daemon_that_sees_no_container_is_no_sight_of_it(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await spend(house, 125)
    world.engine.reachable = False
    async with open_house(world) as house:
        await spend(house, 1200)
        assert stays(house, notebook) == [None]
    world.engine.reachable = True
    world.engine.kill_conmon(container_of(world, notebook).spec.name)
    world.engine.end(container_of(world, notebook).spec.name, 137)
    async with open_house(world) as house:
        await house.quiet()
        assert stays(house, notebook) == [2], "last seen after 120 s; the twenty minutes after that were blind"


async def test_a_stop_of_what_had_ended_long_ago_is_billed_to_that_end(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await house.pass_time(90)
    world.engine.end(container_of(world, notebook).spec.name, 0)
    world.clock.step(86_400)
    world.engine.reachable = False
    async with open_house(world) as house:
        await stop(house, notebook)
        world.engine.reachable = True
        await house.pass_time(60)
        assert not run_of(house, notebook).active
        assert stays(house, notebook) == [2]


@pytest.mark.parametrize(("clean", "expected"), [(False, 2), (True, 3)], ids=["power cut", "clean shutdown"])
async def test_a_reboot_ends_a_stay_where_it_was_last_seen_or_where_its_container_finished(
    world: World, clean: bool, expected: int
) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await spend(house, 125)
    world.clock.step(40)
    if clean:
        world.engine.end(container_of(world, notebook).spec.name, 0)
    world.engine.reboot()
    world.clock.reboot(down_s=3600)
    async with open_house(world) as house:
        await house.quiet()
        assert stays(house, notebook)[0] == expected
        assert ("host.rebooted", None) in jumps(house)


async def test_a_stay_over_the_end_of_a_month_is_split_and_adds_up(world: World) -> None:
    late = datetime(2026, 3, 31, 23, 30, 30, tzinfo=UTC)
    world.clock.step((late - world.clock.now()).total_seconds())
    async with open_house(world) as house:
        notebook = await create(house)
        await house.pass_time(3600)
        await stop(house, notebook)
        first = wall_ms(datetime(2026, 4, 1, tzinfo=UTC))
        months = await usage(house).report(ALICE, ALWAYS, [GroupKey.MONTH])
        days = await usage(house).report(ALICE, ALWAYS, [GroupKey.DAY])
        march = await usage(house).report(ALICE, Window(0, first), [])
        april = await usage(house).report(ALICE, Window(first, 10**14), [])
        assert [(group[0], line.minutes) for group, line in months.lines] == [("2026-03", 30), ("2026-04", 30)]
        assert [(group[0], line.minutes) for group, line in days.lines] == [("2026-03-31", 30), ("2026-04-01", 30)]
        assert march.total.minutes + april.total.minutes == months.total.minutes == 60
        assert march.total.leased_ms == 1_770_000
        assert march.total.leased_ms + april.total.leased_ms == months.total.leased_ms


async def test_deleting_a_notebook_does_not_erase_its_bill(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house, gpu=2, name="gone")
        await house.pass_time(90)
        await house.notebooks.delete(ALICE, notebook, force=True)
        await house.quiet()
        assert house.store.find_entry(notebook) is None
        report = await usage(house).report(ALICE, ALWAYS, [GroupKey.NOTEBOOK])
        assert [(group, line.minutes, line.gpu_minutes) for group, line in report.lines] == [((notebook,), 2, 4)]
        assert report.names[notebook] == "gone"
        receipt = usage(house).receipt(ALICE, notebook)
        assert (receipt.total.minutes, receipt.open, len(receipt.gpus)) == (2, False, 2)
        assert [gpu.leased_ms for gpu in receipt.gpus] == [90_000, 90_000]
        assert receipt.run.outcome is not None
        assert receipt.run.outcome.message == "deleted by alice"


async def test_a_report_shows_one_s_own_and_all_to_an_admin(world: World) -> None:
    async with open_house(world) as house:
        for actor in (ALICE, BOB):
            await create(house, actor, cpu=1)
        await house.pass_time(30)

        async def owners(actor: Actor, owner: str | None = None) -> list[str]:
            report = await usage(house).report(actor, ALWAYS, [GroupKey.USER], owner)
            return [group[0] for group, _ in report.lines]

        assert await owners(ALICE) == ["alice"]
        assert await owners(ADMIN) == ["alice", "bob"]
        assert await owners(ADMIN, "bob") == ["bob"]
        with pytest.raises(Forbidden):
            await owners(ALICE, "bob")


async def test_a_receipt_is_the_owner_s_and_of_a_run_that_there_was(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        assert usage(house).receipt(ADMIN, notebook).open
        with pytest.raises(Forbidden):
            usage(house).receipt(BOB, notebook)
        with pytest.raises(NotFound, match="it had 1 runs"):
            usage(house).receipt(ALICE, notebook, 2)
        with pytest.raises(NotFound):
            usage(house).receipt(ALICE, NotebookId("99999999-1111-4111-8111-111111111111"))


@pytest.mark.parametrize("step", [-86_400.0, -3600, -5, 5, 3600, 86_400])
async def test_a_step_of_the_wall_clock_changes_no_minute_and_is_an_event(world: World, step: float) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await spend(house, 90)
        world.clock.step_wall(step)
        await spend(house, 90)
        await stop(house, notebook)
        assert stays(house, notebook) == [3]
        assert jumps(house) == [("clock.stepped", step)]


async def test_what_is_shown_as_running_time_is_what_is_billed(world: World) -> None:
    def shown(house: House) -> tuple[int, int]:
        return usage(house).running_s(run_of(house, notebook))

    async with open_house(world) as house:
        notebook = await create(house)
        await spend(house, 90)
        world.clock.step_wall(3600)
        await spend(house, 30)
        assert shown(house) == (120, 120)
        world.clock.step_wall(-3600)
        assert shown(house) == (120, 120)
        await spend(house, 60)
    world.engine.end(container_of(world, notebook).spec.name, 0)
    world.clock.step(7200)
    async with open_house(world) as house:
        await house.quiet()
        assert (shown(house), stays(house, notebook)) == ((180, 180), [3]), "it ended while nobody looked"
        await house.notebooks.start(ALICE, notebook)
        await house.quiet()
        await spend(house, 30)
        assert shown(house) == (30, 210)
        await house.notebooks.restart(ALICE, notebook)
        await house.quiet()
        await spend(house, 30)
        assert shown(house) == (60, 240)


async def test_where_running_is_not_billed_its_time_is_the_wall_clocks(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await spend(house, 90)
        unbilled = Usage(
            house.store,
            Meter(house.store, world.clock, lambda: Rules(tariff=Tariff(states=frozenset({RunState.PENDING})))),
        )
        assert unbilled.running_s(run_of(house, notebook)) == (90, 90)


async def test_a_clock_an_hour_wrong_at_boot_and_then_corrected_bills_what_passed(world: World) -> None:
    world.clock.step_wall(-3600)
    async with open_house(world) as house:
        notebook = await create(house)
        await spend(house, 30)
        world.clock.step_wall(3600)
        await spend(house, 180)
        await stop(house, notebook)
        assert stays(house, notebook) == [4]
        assert jumps(house) == [("clock.stepped", 3600)]


async def test_a_step_while_the_daemon_was_dead_is_noticed(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await spend(house, 61)
    world.clock.step(30)
    world.clock.step_wall(-7200)
    async with open_house(world) as house:
        await spend(house, 30)
        await stop(house, notebook)
        assert stays(house, notebook) == [3]
        assert jumps(house) == [("clock.stepped", -7200)]
    async with open_house(world) as house:
        await house.quiet()
        assert len(jumps(house)) == 1, "and noted once"


async def test_suspend_is_billed_and_is_an_event(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await spend(house, 30)
        world.clock.suspend(3600)
        await spend(house, 60)
        await stop(house, notebook)
        assert stays(house, notebook) == [62]
        assert jumps(house) == [("clock.suspended", 3600)]


async def test_a_machine_at_rest_writes_nothing(world: World) -> None:
    async with open_house(world) as house:
        await house.quiet()
        kept = house.store.find_meta("clocks")
        await spend(house, 3600)
        assert house.store.find_meta("clocks") == kept
        assert jumps(house) == []


async def test_what_ran_before_accounts_were_kept_is_taken_up(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await house.pass_time(90)
    forget_accounts(world)
    async with open_house(world) as house:
        await house.pass_time(30)
        await stop(house, notebook)
        assert stays(house, notebook) == [2]


def forget_accounts(world: World) -> None:
    """As an older notebookd left it."""
    with closing(sqlite3.connect(world.config.paths.database)) as connection:
        connection.execute("DELETE FROM interval")
        connection.commit()


async def test_spent_minutes_refuse_a_start_on_gpus_and_stop_nothing(world: World) -> None:
    world.quotas["alice"] = QuotaRule(gpu_minutes_month=5)
    async with open_house(world) as house:
        first = await create(house, gpu=2)
        await house.pass_time(119)
        assert usage_of(house) == 4
        await stop(house, first)
        second = await create(house)
        assert usage_of(house) == 5, "a minute commences at once"
        with pytest.raises(QuotaExceeded, match="5 GPU minutes of this month are spent, the quota is 5"):
            await create(house)
        with pytest.raises(QuotaExceeded, match="cannot start notebook"):
            await house.notebooks.start(ALICE, first)
        await house.pass_time(7200)
        assert run_of(house, second).state is RunState.RUNNING, "what runs goes on"
        await create(house, cpu=1)
        await patch(house, second, labels={"team": "blue"})
        await create(house, BOB)
        await house.notebooks.start(ADMIN, first)
        await house.quiet()


async def test_a_new_month_has_new_minutes(world: World) -> None:
    world.quotas["alice"] = QuotaRule(gpu_minutes_month=1)
    async with open_house(world) as house:
        notebook = await create(house)
        await stop(house, notebook)
        with pytest.raises(QuotaExceeded):
            await house.notebooks.start(ALICE, notebook)
        await house.pass_time((datetime(2026, 4, 1, tzinfo=UTC) - world.clock.now()).total_seconds())
        await house.notebooks.start(ALICE, notebook)
        await house.quiet()
        assert run_of(house, notebook).state is RunState.RUNNING


def usage_of(house: House) -> int:
    """Alice's GPU minutes of this month."""
    return spent_gpu_minutes(house.store, "alice", Meter(house.store, house.world.clock, Rules).read())


async def test_gpus_held_by_an_editor_that_never_answers_count_towards_the_quota(world: World) -> None:
    """What its owner's configuration does before the editor answers is not billed, and is no way round the quota."""
    world.quotas["alice"] = QuotaRule(gpu_minutes_month=20)
    async with open_house(world) as house:
        world.editor.boot_s = 10_000
        notebook = await create(house, gpu=2)
        await house.pass_time(138)
        assert usage_of(house) == 4, "two GPUs for two whole minutes"
        report = await house.services.usage.report(ALICE, house.services.usage.this_month(), [])
        assert report.total.gpu_minutes == 0
        assert report.total.unbilled_ms == 2 * 138_000
        await house.pass_time(1000)
        await house.quiet()
        assert run_of(house, notebook).outcome is not None
        assert usage_of(house) >= 20
        receipt = house.services.usage.receipt(ALICE, notebook)
        assert receipt.total.minutes == 0
        assert receipt.total.unbilled_ms >= 2 * 900_000
        with pytest.raises(QuotaExceeded, match="GPU minutes of this month are spent"):
            await house.notebooks.start(ALICE, notebook)


async def test_gpus_held_while_restarting_count_too(world: World) -> None:
    world.quotas["alice"] = QuotaRule(gpu_minutes_month=1000)
    async with open_house(world) as house:
        notebook = await create(house)
        await house.pass_time(30)
        world.editor.boot_s = 10_000
        await house.notebooks.restart(ALICE, notebook)
        await house.pass_time(330)
        assert run_of(house, notebook).state is RunState.RESTARTING
        assert usage_of(house) == 1 + 5
