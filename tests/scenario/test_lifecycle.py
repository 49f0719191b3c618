# SPDX-License-Identifier: Apache-2.0
"""One notebook from birth to death, every road it can take."""

from __future__ import annotations

from hashlib import sha256

import pytest

from notebookd.domain.container import ContainerStatus
from notebookd.domain.run import NotebookState
from notebookd.reconciler.reconciler import ROUTE_AGAIN_S
from notebookd.routes import find_route
from notebookd.testing.house import World, make_world, open_house
from tests.scenario.play import (
    ALICE,
    STARTED,
    STOPPED,
    assert_sound,
    container_of,
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


async def test_a_new_notebook_runs(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        assert history(house, notebook) == STARTED
        assert state(house, notebook) is NotebookState.RUNNING
        container = container_of(world, notebook)
        run = run_of(house, notebook)
        assert container.spec.name == f"notebookd-{run.id}"
        assert container.labels["io.notebookd.instance"] == house.services.instance
        assert container.labels["io.notebookd.run"] == run.id
        assert container.labels["io.notebookd.owner"] == "alice"
        assert leased(house, notebook) == list(run.gpus) == [world.gpus.uuids[0]]
        assert container.spec.devices == (f"nvidia.com/gpu={world.gpus.uuids[0]}",)
        assert {mount.target for mount in container.spec.mounts} == {"/workspace", "/run/editor"}
        assert_sound(house)


async def test_only_leased_gpus_reach_the_container(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house, cpu=2)
        assert container_of(world, notebook).spec.devices == ()
        assert leased(house, notebook) == []
        assert container_of(world, notebook).spec.cpus == 2


async def test_the_editor_is_probed_on_its_catalogue_path_until_it_answers(world: World) -> None:
    world.editor.boot_s = 3
    async with open_house(world) as house:
        notebook = await create(house)
        assert history(house, notebook) == ["PENDING"]
        assert state(house, notebook) is NotebookState.STARTING
        assert world.editor.probed[0] == (notebook, "/api")
        await house.pass_time(4)
        assert history(house, notebook) == STARTED


async def test_what_an_editor_answers_instead_is_told_within_a_minute(world: World) -> None:
    """In why and in the notebook's own record, and no more once it answers."""
    world.editor.odd = "it is there, and answers 404 (Not Found) when it is asked for /api"
    async with open_house(world) as house:
        notebook = await create(house)
        await house.pass_time(10)
        assert world.editor.odd not in why(house, notebook), "it may still be booting"
        await house.pass_time(30)
        assert world.editor.odd in why(house, notebook)
        assert "mv /workspace/.jupyter" in why(house, notebook)
        assert run_of(house, notebook).hindrance == world.editor.odd
        world.editor.odd = ""
        await house.pass_time(10)
        assert history(house, notebook) == STARTED
        assert run_of(house, notebook).hindrance == ""
        assert "404" not in why(house, notebook)


async def test_a_start_that_takes_too_long_ends_with_what_was_seen(world: World) -> None:
    world.editor.odd = "it is there, and answers 404 (Not Found) when it is asked for /api"
    async with open_house(world) as house:
        notebook = await create(house)
        await house.pass_time(16 * 60)
        ended = run_of(house, notebook).outcome
        assert ended is not None
        assert ended.message.endswith(f"s of its start: {world.editor.odd}")


async def test_a_stop_frees_the_gpu_and_leaves_the_workspace(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        work = world.config.paths.workspaces / notebook / "results.txt"
        work.write_text("42")
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        assert history(house, notebook) == STOPPED
        assert outcome(house, notebook) == ("INTERRUPTED", "JOB_INTERRUPTED")
        assert state(house, notebook) is NotebookState.STOPPED
        assert leased(house, notebook) == []
        assert work.read_text() == "42"
        assert not (world.config.paths.editors / notebook).exists()
        assert_sound(house)


async def test_the_grace_of_the_configuration_is_given(tmp_path_factory: pytest.TempPathFactory) -> None:
    world = make_world(tmp_path_factory.mktemp("grace"), settings={"lifecycle": {"stop_grace": "7s"}})
    async with open_house(world) as house:
        notebook = await create(house)
        container = container_of(world, notebook)
        world.engine.hold("remove")
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        assert container.grace_s == 7


async def test_a_second_start_is_a_new_run_with_a_new_container_on_the_old_workspace(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        first, token = run_of(house, notebook), entry(house, notebook).notebook.token
        (world.config.paths.workspaces / notebook / "kept").touch()
        await house.pass_time(90)
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        await house.notebooks.start(ALICE, notebook)
        await house.quiet()
        second = run_of(house, notebook)
        assert history(house, notebook) == STARTED
        assert (second.number, second.earlier_running_s) == (2, 90)
        assert second.id != first.id
        assert container_of(world, notebook).labels["io.notebookd.run"] == second.id
        assert (world.config.paths.workspaces / notebook / "kept").exists()
        assert entry(house, notebook).notebook.token not in {None, token}
        assert_sound(house)


async def test_a_restart_keeps_container_and_gpus(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        before = container_of(world, notebook)
        started, held = before.started_at, leased(house, notebook)
        await house.pass_time(10)
        await house.notebooks.restart(ALICE, notebook)
        await house.quiet()
        after = container_of(world, notebook)
        assert history(house, notebook) == ["PENDING", "RUNNING", "RESTARTING", "RUNNING"]
        assert after.id == before.id
        assert after.started_at != started
        assert leased(house, notebook) == held
        assert run_of(house, notebook).outcome is None
        assert_sound(house)


async def test_an_editor_that_does_not_come_back_from_a_restart_is_an_error(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.editor.silent = True
        await house.notebooks.restart(ALICE, notebook)
        await house.quiet()
        assert state(house, notebook) is NotebookState.RESTARTING
        await house.pass_time(world.policy.start_timeout_s + world.policy.stop_grace_s + 1)
        assert history(house, notebook)[-4:] == ["RESTARTING", "INTERRUPTING", "FINALIZING", "ERROR"]
        assert_sound(house)


async def test_a_deleted_notebook_is_gone_and_its_record_stays(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        run = run_of(house, notebook)
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        hold = world.engine.hold("find")
        await house.notebooks.delete(ALICE, notebook, force=False)
        await hold.entered.wait()
        assert state(house, notebook) is NotebookState.DELETING
        hold.release()
        await house.quiet()
        assert house.store.find_entry(notebook) is None
        assert house.store.find_run_owner(run.id) == notebook
        assert [str(s) for _, s in house.store.list_runs(notebook)[0].history] == STOPPED
        paths = world.config.paths
        for folder in (paths.workspaces, paths.editors, paths.logs, paths.trash):
            assert not (folder / notebook).exists()
        assert not (paths.routes / f"{notebook}.json").exists()
        assert_sound(house)


async def test_a_forced_delete_of_a_running_notebook_stops_it_first(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await house.notebooks.delete(ALICE, notebook, force=True)
        await house.quiet()
        assert house.store.find_entry(notebook) is None
        (run,) = house.store.list_runs(notebook)
        assert [str(each) for _, each in run.history] == STOPPED
        assert house.store.list_leases() == []
        assert_sound(house)


@pytest.mark.parametrize(
    ("exit_code", "final", "code", "seen"),
    [
        (0, "DONE", "JOB_DONE", NotebookState.STOPPED),
        (1, "FAILED", "JOB_FAILED_WITH_MESSAGE", NotebookState.FAILED),
        (137, "FAILED", "JOB_FAILED_WITH_MESSAGE", NotebookState.FAILED),
    ],
)
async def test_an_editor_that_exits_ends_its_run(
    world: World, exit_code: int, final: str, code: str, seen: NotebookState
) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.engine.end(container_of(world, notebook).spec.name, exit_code)
        await house.quiet()
        assert history(house, notebook) == [*STARTED, "FINALIZING", final]
        assert outcome(house, notebook) == (final, code)
        assert run_of(house, notebook).exit_code == exit_code
        assert state(house, notebook) is seen
        assert_sound(house)


async def test_an_editor_that_exits_while_it_boots_ends_its_run(world: World) -> None:
    world.editor.silent = True
    async with open_house(world) as house:
        notebook = await create(house)
        world.engine.end(container_of(world, notebook).spec.name, 3)
        await house.pass_time(1)
        assert history(house, notebook) == ["PENDING", "FINALIZING", "FAILED"]
        assert run_of(house, notebook).exit_code == 3
        assert_sound(house)


async def test_a_lost_container_is_an_error_without_an_exit_code(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.engine.lose(container_of(world, notebook).spec.name)
        await house.pass_time(11)
        assert history(house, notebook) == [*STARTED, "FINALIZING", "ERROR"]
        assert run_of(house, notebook).exit_code is None
        assert state(house, notebook) is NotebookState.ERROR
        assert_sound(house)


async def test_a_container_that_somebody_removed_is_an_error(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        del world.engine.containers[container_of(world, notebook).spec.name]
        await house.pass_time(11)
        assert history(house, notebook) == [*STARTED, "FINALIZING", "ERROR"]
        assert_sound(house)


async def test_a_missing_image_is_an_error_that_says_so_and_makes_nothing(world: World) -> None:
    world.engine.images.clear()
    async with open_house(world) as house:
        notebook = await create(house)
        assert history(house, notebook) == ["PENDING", "ERROR"]
        assert outcome(house, notebook) == ("ERROR", "JOB_INVALID_IMAGE_NAME")
        found = run_of(house, notebook).outcome
        assert found is not None
        assert "bugreport" in found.message
        assert "notebookctl image" in found.message
        assert [step for step, _ in run_of(house, notebook).trace] == ["files prepared"]
        assert leased(house, notebook) == []
        assert_sound(house)


async def test_a_device_that_cannot_be_resolved_is_an_error(world: World) -> None:
    world.engine.unresolvable.add(f"nvidia.com/gpu={world.gpus.uuids[0]}")
    async with open_house(world) as house:
        notebook = await create(house)
        assert history(house, notebook)[-1] == "ERROR"
        assert containers_of(world, notebook) == []
        assert_sound(house)


async def test_an_editor_that_never_answers_is_an_error_after_the_start_timeout(world: World) -> None:
    world.editor.silent = True
    async with open_house(world) as house:
        notebook = await create(house)
        await house.pass_time(world.policy.start_timeout_s - 5)
        assert history(house, notebook) == ["PENDING"]
        await house.pass_time(6)
        assert history(house, notebook) == ["PENDING", "INTERRUPTING", "FINALIZING", "ERROR"]
        assert_sound(house)


async def test_a_stop_while_the_editor_boots_ends_it_without_waiting_for_it(world: World) -> None:
    world.editor.silent = True
    async with open_house(world) as house:
        notebook = await create(house)
        await house.notebooks.stop(ALICE, notebook)
        await house.pass_time(0.2)
        assert history(house, notebook) == ["PENDING", "INTERRUPTING", "FINALIZING", "INTERRUPTED"]
        assert_sound(house)


async def test_a_workspace_that_vanished_is_an_error_and_is_not_made_anew(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        workspace = world.config.paths.workspaces / notebook
        workspace.rename(workspace.with_name("elsewhere"))
        await house.notebooks.start(ALICE, notebook)
        await house.quiet()
        assert history(house, notebook) == ["PENDING", "ERROR"]
        assert not workspace.exists()
        assert_sound(house)


async def test_the_log_outlives_the_container(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.engine.say(container_of(world, notebook).spec.name, "it begins\nit ends")
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        entry = house.store.find_entry(notebook)
        assert entry is not None
        kept = [line async for line in house.services.logs.lines(entry, None, None, follow=False)]
        assert [line.content for line in kept] == ["it begins", "it ends"]


async def test_the_longest_running_time_ends_a_notebook(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await house.pass_time(world.policy.max_running_s - 1)
        assert state(house, notebook) is NotebookState.RUNNING
        await house.pass_time(1)
        assert history(house, notebook) == ["PENDING", "RUNNING", "INTERRUPTING", "FINALIZING", "TIMEOUT"]
        assert outcome(house, notebook) == ("TIMEOUT", "JOB_TIMEOUT")
        assert state(house, notebook) is NotebookState.STOPPED
        assert_sound(house)


async def test_auto_restart_goes_on_with_a_new_deadline(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house, auto_restart=True)
        deadline = run_of(house, notebook).timeout_at
        await house.pass_time(world.policy.max_running_s)
        assert history(house, notebook) == ["PENDING", "RUNNING", "RESTARTING", "RUNNING"]
        later = run_of(house, notebook).timeout_at
        assert deadline is not None
        assert later is not None
        assert (later - deadline).total_seconds() >= world.policy.max_running_s
        assert container_of(world, notebook).status is ContainerStatus.RUNNING
        assert_sound(house)


async def test_a_route_that_could_not_be_written_is_written_as_soon_as_it_can_be(world: World) -> None:
    """Nobody wakes the notebook for it: nothing else happens to it."""
    routes = world.config.paths.routes
    async with open_house(world) as house:
        notebook = await create(house)
        (routes / f"{notebook}.json").unlink()
        routes.rmdir()
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        await house.notebooks.start(ALICE, notebook)
        await house.pass_time(5)
        assert state(house, notebook) is NotebookState.RUNNING
        routes.mkdir()
        await house.pass_time(ROUTE_AGAIN_S + 0.1)
        route = find_route(routes, notebook)
        assert route is not None
        assert route.state == "RUNNING"
        token = entry(house, notebook).notebook.token
        assert token is not None
        assert route.token_hash == sha256(token.encode()).hexdigest()


async def test_a_route_that_could_not_be_withdrawn_goes_as_soon_as_it_can(world: World) -> None:
    routes = world.config.paths.routes
    async with open_house(world) as house:
        notebook = await create(house)
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        file = routes / f"{notebook}.json"
        file.unlink()
        file.mkdir()  # which unlink does not remove, as on a disk that refuses
        await house.notebooks.delete(ALICE, notebook, force=False)
        await house.pass_time(5)
        assert file.exists()
        file.rmdir()
        file.touch()
        await house.pass_time(ROUTE_AGAIN_S + 0.1)
        assert not file.exists()
