# SPDX-License-Identifier: Apache-2.0
"""Who gets which GPU when there are too few."""

from __future__ import annotations

from datetime import timedelta

import pytest

from notebookd.domain.ids import NotebookId
from notebookd.domain.late_starts import REMEMBERED_FOR
from notebookd.domain.leasing import WaitReason
from notebookd.domain.quota import QuotaRule
from notebookd.domain.run import NotebookState
from notebookd.errors import GpusUnavailable, QuotaExceeded
from notebookd.service.gpus import BoardRow
from notebookd.testing.house import House, World, open_house
from tests.scenario.play import (
    ADMIN,
    ALICE,
    BOB,
    assert_sound,
    containers_of,
    create,
    entry,
    history,
    leased,
    outcome,
    run_of,
    state,
    why,
)


def running(house: House, among: list[NotebookId]) -> list[int]:
    """Which of them (by place in the list) run."""
    return [place for place, each in enumerate(among) if state(house, each) is NotebookState.RUNNING]


def waits(house: House) -> list[tuple[NotebookId, WaitReason, int]]:
    """The queue as its board shows it."""
    rows = house.services.machine.queue()
    return [(row.entry.notebook.id, row.wait.reason, row.wait.position) for row in rows]


async def board(house: House) -> tuple[BoardRow, ...]:
    """The rows of the board."""
    return (await house.services.gpus.board()).rows


async def test_five_notebooks_share_two_gpus_in_the_order_they_were_made(world: World) -> None:
    async with open_house(world) as house:
        made: list[NotebookId] = []
        for _ in range(5):
            made.append(await create(house))
            await house.pass_time(1)
        assert running(house, made) == [0, 1]
        assert waits(house) == [(made[2], "gpus", 1), (made[3], "turn", 2), (made[4], "turn", 3)]
        assert_sound(house)
        for stopped, then in ((1, [0, 2]), (0, [2, 3]), (3, [2, 4]), (2, [4]), (4, [])):
            await house.notebooks.stop(ALICE, made[stopped])
            await house.quiet()
            assert running(house, made) == then
            assert_sound(house)


async def test_notebooks_made_in_the_same_instant_all_have_a_place(world: World) -> None:
    async with open_house(world) as house:
        made = [await create(house) for _ in range(5)]
        assert len(running(house, made)) == 2
        assert sorted(place for _, _, place in waits(house)) == [1, 2, 3]
        assert_sound(house)


async def test_a_large_request_is_not_starved_by_small_ones(world: World) -> None:
    async with open_house(world) as house:
        first, second = await create(house), await create(house)
        await house.pass_time(1)
        large = await create(house, gpu=2)
        await house.pass_time(1)
        small = await create(house)
        await house.notebooks.stop(ALICE, first)
        await house.quiet()
        assert running(house, [second, large, small]) == [0]
        await house.notebooks.stop(ALICE, second)
        await house.quiet()
        assert running(house, [second, large, small]) == [1]
        assert leased(house, large) == list(world.gpus.uuids)
        assert_sound(house)


async def test_who_is_over_quota_waits_and_is_passed_over(world: World) -> None:
    world.quotas["alice"] = QuotaRule(gpus=1)
    async with open_house(world) as house:
        first, second = await create(house), await create(house)
        await house.pass_time(1)
        bobs = await create(house, BOB)
        assert running(house, [first, second, bobs]) == [0, 2]
        assert waits(house) == [(second, WaitReason.QUOTA, 1)]
        said = why(house, second)
        name = entry(house, first).notebook.spec.name
        assert f"Its owner may hold 1 GPU at once, held by {name} (1 GPU, until 20" in said
        assert f"`notebookctl stop {name}` is enough." in said
        assert entry(house, bobs).notebook.spec.name not in said
        assert_sound(house)
        await house.notebooks.stop(ALICE, first)
        await house.quiet()
        assert running(house, [first, second, bobs]) == [1, 2]


async def test_more_than_the_quota_is_refused_at_once(world: World) -> None:
    world.quotas["alice"] = QuotaRule(gpus=1, notebooks=2)
    async with open_house(world) as house:
        with pytest.raises(QuotaExceeded, match="2 GPUs, the quota is 1"):
            await create(house, gpu=2)
        await create(house)
        await create(house)
        with pytest.raises(QuotaExceeded, match="there are 2 notebooks"):
            await create(house, cpu=1)
        assert_sound(house)


async def test_quotas_do_not_bind_an_admin(world: World) -> None:
    world.quotas["root"] = QuotaRule()
    async with open_house(world) as house:
        assert running(house, [await create(house, ADMIN, gpu=2)]) == [0]


async def test_cpu_notebooks_do_not_wait_for_gpus_but_for_cpus(world: World) -> None:
    async with open_house(world) as house:
        await create(house, gpu=2)
        waiting = await create(house)
        beside = await create(house, cpu=10)
        too_many = await create(house, cpu=7)
        assert running(house, [waiting, beside, too_many]) == [1]
        assert {row[0]: row[1] for row in waits(house)} == {waiting: WaitReason.GPUS, too_many: WaitReason.CPUS}
        await house.notebooks.stop(ALICE, beside)
        await house.quiet()
        assert running(house, [waiting, beside, too_many]) == [2]
        assert_sound(house)


async def test_a_stop_in_the_queue_ends_it_without_a_trace_in_the_engine(world: World) -> None:
    async with open_house(world) as house:
        await create(house, gpu=2)
        waiting = await create(house)
        await house.notebooks.stop(ALICE, waiting)
        await house.quiet()
        assert history(house, waiting) == ["PENDING", "INTERRUPTED"]
        assert containers_of(world, waiting) == []
        assert waits(house) == []
        assert_sound(house)


async def test_a_delete_in_the_queue_needs_force_and_leaves_nothing(world: World) -> None:
    async with open_house(world) as house:
        await create(house, gpu=2)
        waiting = await create(house)
        await house.notebooks.delete(ALICE, waiting, force=True)
        await house.quiet()
        assert house.store.find_entry(waiting) is None
        assert_sound(house)


async def test_who_waits_too_long_is_interrupted(world: World) -> None:
    async with open_house(world) as house:
        holder = await create(house, gpu=2, auto_restart=True)
        waiting = await create(house)
        await house.pass_time(world.policy.queue_timeout_s)
        assert history(house, waiting) == ["PENDING", "INTERRUPTED"]
        assert outcome(house, waiting) == ("INTERRUPTED", "JOB_INTERRUPTED_BY_PLATFORM")
        assert state(house, holder) is NotebookState.RUNNING


async def test_the_queue_knows_the_latest_start(world: World) -> None:
    async with open_house(world) as house:
        holder = await create(house, gpu=2)
        waiting = await create(house)
        (row,) = house.services.machine.queue()
        assert row.entry.notebook.id == waiting
        timeout_at = run_of(house, holder).timeout_at
        assert timeout_at is not None
        assert row.latest_start_at == timeout_at + timedelta(seconds=world.policy.stop_grace_s)


async def test_the_start_timeout_counts_from_the_grant(world: World) -> None:
    async with open_house(world) as house:
        holder = await create(house, gpu=2)
        waiting = await create(house)
        await house.pass_time(world.policy.start_timeout_s * 2)
        world.editor.silent = True
        await house.notebooks.stop(ALICE, holder)
        await house.quiet()
        await house.pass_time(world.policy.start_timeout_s - 1)
        assert history(house, waiting) == ["PENDING"]
        await house.pass_time(2)
        assert history(house, waiting)[-1] == "ERROR"


async def test_a_drained_gpu_is_not_given_and_one_taken_back_is(world: World) -> None:
    async with open_house(world) as house:
        await house.services.gpus.drain(ADMIN, world.gpus.uuids[0], drained=True)
        first, second = await create(house), await create(house)
        assert leased(house, first) == [world.gpus.uuids[1]]
        assert running(house, [first, second]) == [0]
        await house.services.gpus.drain(ADMIN, world.gpus.uuids[0], drained=False)
        await house.pass_time(11)
        assert running(house, [first, second]) == [0, 1]


async def test_a_sick_gpu_is_not_given(world: World) -> None:
    world.gpus.sicken(world.gpus.uuids[0])
    async with open_house(world) as house:
        first, second = await create(house), await create(house)
        assert leased(house, first) == [world.gpus.uuids[1]]
        assert running(house, [first, second]) == [0]
        world.gpus.heal(world.gpus.uuids[0])
        await house.pass_time(11)
        assert running(house, [first, second]) == [0, 1]


async def test_while_the_driver_is_silent_nothing_is_granted_and_nothing_ends(world: World) -> None:
    async with open_house(world) as house:
        first = await create(house)
        world.gpus.become_unavailable()
        second = await create(house)
        await house.pass_time(60)
        assert running(house, [first, second]) == [0]
        assert history(house, second) == ["PENDING"]
        assert waits(house) == [(second, "unavailable", 1)]
        board = await house.services.gpus.board()
        assert (len(board.rows), "driver not loaded" in (board.trouble or "")) == (2, True)
        world.gpus.become_available()
        await house.pass_time(60)
        assert running(house, [first, second]) == [0, 1]
        assert_sound(house)


async def test_the_board_tells_lost_from_sick_and_from_unseen(world: World) -> None:
    async with open_house(world) as house:
        first = await create(house)
        world.gpus.lose(world.gpus.uuids[1])
        assert [row.state for row in await board(house)] == ["leased", "lost"]
        world.gpus.heal(world.gpus.uuids[1])
        world.gpus.sicken(world.gpus.uuids[1], "too many errors")
        assert [row.state for row in await board(house)] == ["leased", "quarantined"]
        world.gpus.become_unavailable()
        rows = await board(house)
        assert [(row.state, row.sample) for row in rows] == [("leased", None), ("quarantined", None)]
        assert running(house, [first]) == [0]


async def test_a_driver_that_is_silent_from_the_beginning_does_not_keep_the_house_shut(world: World) -> None:
    async with open_house(world) as house:
        first = await create(house)
    world.gpus.become_unavailable()
    async with open_house(world) as house:
        await house.quiet()
        assert running(house, [first]) == [0]
        with pytest.raises(GpusUnavailable):
            await create(house)
        world.gpus.become_available()
        await house.pass_time(60)
        second = await create(house)
        assert running(house, [first, second]) == [0, 1]


async def test_leases_and_queue_survive_the_daemon(world: World) -> None:
    async with open_house(world) as house:
        made: list[NotebookId] = []
        for _ in range(4):
            made.append(await create(house))
            await house.pass_time(1)
        held = [leased(house, each) for each in made]
        containers = dict(world.engine.containers)
    calls = len(world.engine.calls)
    async with open_house(world) as house:
        await house.pass_time(30)
        assert [leased(house, each) for each in made] == held
        assert world.engine.containers == containers
        assert running(house, made) == [0, 1]
        assert {name for name, _ in world.engine.calls[calls:]} <= {"find", "info", "list_containers", "events"}
        await house.notebooks.stop(ALICE, made[0])
        await house.quiet()
        assert running(house, made) == [1, 2]
        assert entry(house, made[3]).run.waiting


async def vain(house: House, notebook: NotebookId, seconds: float) -> None:
    """A start that holds its GPUs and does not answer, ended by its owner."""
    house.world.editor.boot_s = 10_000
    await house.notebooks.start(ALICE, notebook)
    await house.pass_time(seconds)
    await house.notebooks.stop(ALICE, notebook)
    await house.pass_time(60)
    house.world.editor.boot_s = 0


async def test_whose_starts_come_to_nothing_again_and_again_waits_behind_others(world: World) -> None:
    async with open_house(world) as house:
        bobs = await create(house, BOB, gpu=2)
        await house.notebooks.stop(BOB, bobs)
        vains = await create(house, gpu=2)
        await house.notebooks.stop(ALICE, vains)
        await house.quiet()
        await vain(house, vains, 800)
        await vain(house, vains, 800)  # stopped before its time was up: no way round it
        blocker = await create(house, ADMIN, gpu=2)
        early = await create(house)
        late = await create(house, BOB)
        assert [row.entry.notebook.id for row in house.services.machine.queue()] == [late, early]
        (sentence,) = house.services.reasons.sentences(entry(house, early))
        assert "its owner's last starts held compute for long and never answered" in sentence
        await house.notebooks.stop(ADMIN, blocker)
        await house.quiet()
        assert running(house, [late, early]) == [0, 1], "nobody is kept out where there is room"
        assert_sound(house)


async def test_one_slow_start_or_old_ones_or_short_ones_put_nobody_back(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house, gpu=2)
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        await vain(house, notebook, 800)
        await vain(house, notebook, 100)
        await vain(house, notebook, 100)
        blocker = await create(house, ADMIN, gpu=2)
        first, second = await create(house), await create(house, BOB)
        assert [row.entry.notebook.id for row in house.services.machine.queue()] == [first, second]
        await house.notebooks.stop(ADMIN, blocker)
        await house.quiet()
        await house.notebooks.stop(ALICE, first)
        await house.notebooks.stop(BOB, second)
        await house.quiet()
        await house.pass_time(REMEMBERED_FOR.total_seconds())
        await vain(house, notebook, 800)
        await create(house, ADMIN, gpu=2)
        third, fourth = await create(house), await create(house, BOB)
        assert [row.entry.notebook.id for row in house.services.machine.queue()] == [third, fourth]
