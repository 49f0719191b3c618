# SPDX-License-Identifier: Apache-2.0
"""Which state a notebook comes to, by what happened to it."""

from __future__ import annotations

import pytest

from notebookd import wire
from notebookd.client import Refused
from tests.engine.live import Machine, eventually, root

pytestmark = pytest.mark.engine


def job(notebook: wire.Notebook) -> wire.JobStatus:
    last = notebook.status.last_job_status
    assert last is not wire.UNSET
    return last


def test_nothing_asked_for_is_one_gpu_of_the_default_flavor_with_its_share(live: Machine) -> None:
    before = live.leases()
    notebook = live.run()
    leased = {uuid: holder for uuid, holder in live.leases().items() if uuid not in before}
    assert list(leased.values()) == [notebook]
    resources = live.get(notebook).spec.resources
    (default,) = (flavor for flavor in live.client.list_flavors().value if flavor.default)
    assert default.type == "gpu"
    assert (resources.flavor, resources.gpu) == (default.id, 1)
    assert resources.memory == default.resources_per_unit.memory
    (row,) = (gpu for gpu in live.client.list_gpus().value.items if gpu.uuid in leased)
    assert (row.state, row.name) == ("leased", f"{resources.gpu_brand} {resources.gpu_model}")


def test_gpus_are_counted_and_given_back(live: Machine) -> None:
    before = live.leases()
    notebook = live.run(resources=wire.Resources(gpu=3))
    assert list(live.leases().values()).count(notebook) == 3
    live.stop(notebook)
    assert live.leases() == before


def test_a_cpu_notebook_holds_no_gpu(live: Machine) -> None:
    before = live.leases()
    live.run(resources=wire.Resources(cpu=1))
    assert live.leases() == before


@pytest.mark.parametrize(
    ("code", "state", "run_state"), [(0, "STOPPED", "DONE"), (1, "FAILED", "FAILED"), (137, "FAILED", "FAILED")]
)
def test_an_editor_that_leaves_after_it_answered(odd: Machine, code: int, state: str, run_state: str) -> None:
    notebook = odd.create("toy", "odd", env={"DEED": f"exit {code}"})
    ended = eventually(lambda: odd.get(notebook), lambda seen: seen.status.state in {state, "ERROR"}, within_s=20)
    assert (ended.status.state, job(ended).state, job(ended).exit_code) == (state, run_state, code)
    assert "RUNNING" in [step.state for step in job(ended).history]
    assert notebook not in odd.leases().values()
    assert odd.containers() == {}


def test_an_editor_that_leaves_before_it_answers(odd: Machine) -> None:
    ended = odd.await_state(odd.create("exit3", "odd"), "FAILED", within_s=20)
    assert job(ended).exit_code == 3
    assert "RUNNING" not in [step.state for step in job(ended).history]
    assert [line.content for line in odd.client.log(ended.id).value.logs] == ["leaving"]


@pytest.mark.parametrize(("framework", "word"), [("noimage", "absent"), ("nocommand", "/no/such/program")])
def test_a_backend_fault_is_an_error_that_names_its_cause(odd: Machine, framework: str, word: str) -> None:
    ended = odd.await_state(odd.create(framework, "odd"), "ERROR", within_s=20)
    info = job(ended).info
    assert info is not wire.UNSET
    assert word in info.message
    assert "bugreport" in info.message
    assert (odd.containers(), odd.leases()) == ({}, {})


def test_an_editor_that_never_answers_is_an_error(odd: Machine) -> None:
    ended = odd.await_state(odd.create("toy", "odd", env={"DEED": "mute"}), "ERROR", within_s=30)
    assert "RUNNING" not in [step.state for step in job(ended).history]
    assert (odd.containers(), odd.leases()) == ({}, {})


def test_a_container_killed_from_outside_failed_with_137(live: Machine) -> None:
    notebook = live.run()
    root("kill", "-KILL", str(live.container(notebook)["State"]["Pid"]))
    ended = live.await_state(notebook, "FAILED", within_s=20)
    assert (job(ended).state, job(ended).exit_code) == ("FAILED", 137)


def test_under_a_dead_conmon_a_notebook_goes_on_and_its_end_is_an_error(live: Machine) -> None:
    notebook = live.run()
    state = live.container(notebook)["State"]
    root("kill", "-KILL", str(state["ConmonPid"]))
    assert live.fetch(notebook, token=live.token(notebook)).status == 200
    assert live.state(notebook) == "RUNNING"
    root("kill", "-KILL", str(state["Pid"]))
    ended = live.await_state(notebook, "ERROR", within_s=40)
    assert job(ended).exit_code is wire.UNSET
    live.await_order()
    live.start(notebook)


def test_under_a_dead_conmon_a_notebook_can_be_stopped(live: Machine) -> None:
    notebook = live.run()
    root("kill", "-KILL", str(live.container(notebook)["State"]["ConmonPid"]))
    live.stop(notebook)
    live.await_order()


def test_delete_is_seen_and_leaves_nothing(live: Machine) -> None:
    notebook = live.run()
    workspace = live.workspace(notebook)
    live.execute(notebook, "sh", "-c", "mkdir -p locked/in && touch locked/in/file && chmod 0 locked")
    with pytest.raises(Refused) as refusal:
        live.client.delete_notebook(notebook)
    assert refusal.value.status == 409
    live.client.delete_notebook(notebook, force=True)
    assert live.state(notebook) == "DELETING"
    eventually(lambda: live.find_state(notebook), lambda state: state is None, within_s=30)
    assert live.containers() == {}
    assert notebook not in live.leases().values()
    assert root("find", str(workspace), str(live.editors / notebook), check=False) == ""
    assert root("find", str(live.state_folder), "-name", f"*{notebook}*") == ""


def test_states_of_a_stop_and_a_start_follow_the_table(live: Machine) -> None:
    notebook = live.run()
    live.stop(notebook)
    first = job(live.get(notebook))
    assert [step.state for step in first.history] == ["PENDING", "RUNNING", "INTERRUPTING", "FINALIZING", "INTERRUPTED"]
    live.start(notebook)
    live.client.restart_notebook(notebook)
    live.await_state(notebook, "RUNNING")
    live.await_order()


def test_a_restart_keeps_container_and_gpus(live: Machine) -> None:
    notebook = live.run()
    before, leases = live.container(notebook), live.leases()
    live.client.restart_notebook(notebook)
    live.await_state(notebook, "RUNNING")
    after = live.container(notebook)
    assert (after["Id"], live.leases()) == (before["Id"], leases)
    assert after["State"]["Pid"] != before["State"]["Pid"]
