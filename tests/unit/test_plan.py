# SPDX-License-Identifier: Apache-2.0
"""The decisions of the reconciler, one example for each line of the lifecycle."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from notebookd.domain import actions as act
from notebookd.domain.container import Container, ContainerStatus
from notebookd.domain.notebook import Notebook, Wanted
from notebookd.domain.observed import Known, Seen, Unknown
from notebookd.domain.plan import (
    LAUNCH,
    HeldGpus,
    LifecyclePolicy,
    Plan,
    Sight,
    plan,
)
from notebookd.domain.run import FINAL, IllegalTransition, Outcome, Run, RunState, end
from notebookd.domain.turns import answered, restart, seen_running, start_failed
from tests.values import (
    BOOT,
    NOW,
    OTHER_BOOT,
    STOPPED_BY_ALICE,
    after,
    container,
    granted,
    launched,
    notebook,
    run,
)

_S, _C = RunState, ContainerStatus


def fault(code: str) -> Outcome:
    return Outcome(state=_S.ERROR, code=code, message="it broke")


POLICY = LifecyclePolicy(
    max_running_s=1000, stop_grace_s=30, start_timeout_s=100, queue_timeout_s=500, warn_before_s=()
)
SOON = after(5)
NOTHING_WRONG = Known(HeldGpus())
CLEAR = (act.KeepLog(), act.RemoveContainer())


def decide(
    made: Run,
    seen: Container | Unknown | None = None,
    *,
    now: datetime = SOON,
    boot: str = BOOT,
    of: Notebook | None = None,
    gpus: Seen[HeldGpus] = NOTHING_WRONG,
) -> Plan:
    sight = Sight(container=seen if isinstance(seen, Unknown) else Known(seen), boot_id=boot, gpus=gpus)
    return plan(of or notebook(), made, sight, POLICY, now)


def booting() -> Run:
    """Launched, and nothing was heard of a container yet."""
    return replace(granted(run(_S.PENDING)), launched_at=NOW, boot_id=BOOT)


def test_an_accepted_run_begins_and_then_waits_for_compute() -> None:
    begun = decide(run(_S.QUEUED))
    assert (begun.run.state, begun.actions) == (_S.INITIALIZING, ())
    assert decide(begun.run).run.state is _S.PENDING


def test_a_run_waits_for_its_grant_until_its_patience_ends() -> None:
    waiting = run(_S.PENDING)
    assert decide(waiting) == Plan(run=waiting, wake_at=after(500))
    ended = decide(waiting, now=after(500)).run
    assert ended.outcome is not None
    assert (ended.state, ended.outcome.code) == (_S.INTERRUPTED, "JOB_INTERRUPTED_BY_PLATFORM")
    assert "500 s" in ended.outcome.message


def test_a_granted_run_writes_its_intent_before_it_makes_anything() -> None:
    planned = decide(granted(run(_S.PENDING)))
    assert (planned.run.launched_at, planned.run.boot_id) == (SOON, BOOT)
    assert planned.actions == (*LAUNCH, act.AwaitEditor(until=after(100)))
    assert (act.PrepareFiles(), act.CreateContainer(), act.StartContainer()) == LAUNCH


def test_a_crash_after_the_intent_makes_it_all_again() -> None:
    planned = decide(booting(), None)
    assert planned == Plan(run=booting(), actions=(*LAUNCH, act.AwaitEditor(until=after(100))))


def test_a_crash_after_create_starts_what_there_is() -> None:
    planned = decide(booting(), container(_C.CREATED))
    assert planned == Plan(run=booting(), actions=(act.StartContainer(), act.AwaitEditor(until=after(100))))


def test_a_crash_after_start_adopts_what_runs() -> None:
    planned = decide(booting(), container())
    assert planned.actions == (act.AwaitEditor(until=after(100)),)
    assert (planned.run.container_started_at, planned.run.container_pid) == (NOW, 4242)
    assert planned.run.image_digest == container().image_digest


def test_a_container_that_came_and_went_while_booting_is_not_made_again() -> None:
    ended = decide(replace(booting(), container_started_at=NOW), None).run
    assert ended.outcome is not None
    assert (ended.state, ended.outcome.state) == (_S.FINALIZING, _S.ERROR)


def test_the_start_timeout_counts_from_the_grant() -> None:
    late_grant = replace(booting(), granted_at=after(50))
    assert decide(late_grant, container(), now=after(149)).run.outcome is None
    late = decide(late_grant, container(), now=after(150))
    assert late.run.outcome is not None
    assert (late.run.state, late.run.outcome.state, late.actions) == (_S.INTERRUPTING, _S.ERROR, ())
    unmade = decide(granted(run(_S.PENDING)), now=after(100)).run
    assert (unmade.state, unmade.holds) == (_S.ERROR, False)


@pytest.mark.parametrize("state", [_S.PENDING, _S.RUNNING, _S.RESTARTING])
@pytest.mark.parametrize(
    ("seen", "outcome", "exit_code"),
    [
        (container(_C.EXITED, exit_code=0), _S.DONE, 0),
        (container(_C.EXITED, exit_code=1), _S.FAILED, 1),
        (container(_C.EXITED, exit_code=137), _S.FAILED, 137),
        (container(_C.LOST), _S.ERROR, None),
        (None, _S.ERROR, None),
    ],
    ids=["exit 0", "exit 1", "exit 137", "lost", "vanished"],
)
def test_a_container_that_ends_by_itself_names_the_outcome(
    state: RunState, seen: Container | None, outcome: RunState, exit_code: int | None
) -> None:
    made = launched(run(state))
    if state is _S.RESTARTING and seen is not None:
        seen = replace(seen, started_at=after(3) if seen.status is _C.EXITED else NOW)
    planned = decide(made, seen)
    assert planned.run.outcome is not None
    assert (planned.run.state, planned.run.outcome.state) == (_S.FINALIZING, outcome)
    assert planned.run.exit_code == exit_code
    assert planned.run.holds
    assert decide(planned.run, seen).run.released_at == SOON
    assert planned.actions == ()


def test_a_running_editor_is_left_alone_until_its_time_is_up() -> None:
    made = replace(run(_S.RUNNING), timeout_at=after(1000))
    assert decide(made, container()) == Plan(run=made, wake_at=after(1000))
    ended = decide(made, container(), now=after(1000)).run
    assert ended.outcome is not None
    assert (ended.state, ended.outcome.state, ended.outcome.code) == (_S.INTERRUPTING, _S.TIMEOUT, "JOB_TIMEOUT")


def test_with_auto_restart_seven_days_mean_a_restart() -> None:
    made = replace(run(_S.RUNNING), timeout_at=after(1000))
    again = decide(made, container(), now=after(1000), of=notebook(timeout_auto_restart=True)).run
    assert (again.state, again.outcome, again.restart_from) == (_S.RESTARTING, None, NOW)
    back = answered(again, POLICY, after(1010))
    assert (back.state, back.timeout_at) == (_S.RUNNING, after(2010))


def test_a_restart_stops_starts_and_waits_for_another_start_time() -> None:
    made = restart(run(_S.RUNNING), after(10))
    asked = decide(made, container(), now=after(11))
    deadline = after(10 + 100 + 30)
    assert asked == Plan(
        run=made, actions=(act.StopContainer(30), act.StartContainer(), act.AwaitEditor(until=deadline))
    )
    stopped = decide(made, container(_C.EXITED), now=after(12))
    assert stopped.actions == (act.StartContainer(), act.AwaitEditor(until=deadline))
    assert stopped.run.outcome is None, "its exit is what was asked for"
    started = decide(made, container(started_at=after(13), pid=4343), now=after(14))
    assert started.actions == (act.AwaitEditor(until=deadline),)
    assert (started.run.state, started.run.container_pid) == (_S.RESTARTING, 4343)
    back = answered(started.run, POLICY, after(15))
    assert (back.state, back.restart_from, back.gpus) == (_S.RUNNING, None, made.gpus)


def test_a_restart_that_does_not_come_back_in_time_is_a_fault() -> None:
    made = restart(run(_S.RUNNING), after(10))
    ended = decide(made, container(started_at=after(13)), now=after(140)).run
    assert ended.outcome is not None
    assert (ended.state, ended.outcome.state) == (_S.INTERRUPTING, _S.ERROR)


def test_a_container_lost_in_a_restart_is_a_fault() -> None:
    ended = decide(run(_S.RESTARTING), container(_C.LOST)).run
    assert ended.outcome is not None
    assert (ended.state, ended.outcome.state) == (_S.FINALIZING, _S.ERROR)


def test_interrupting_stops_the_container_then_frees_the_gpus() -> None:
    made = run(_S.INTERRUPTING)
    assert decide(made, container()) == Plan(run=made, actions=(act.StopContainer(30),))
    gone = decide(made, container(_C.EXITED, exit_code=143)).run
    assert (gone.state, gone.exit_code, gone.released_at) == (_S.FINALIZING, 143, SOON)
    assert gone.outcome == STOPPED_BY_ALICE


@pytest.mark.parametrize("seen", [None, container(_C.CREATED), container(_C.LOST)])
def test_interrupting_needs_no_stop_when_nothing_runs(seen: Container | None) -> None:
    gone = decide(run(_S.INTERRUPTING), seen)
    assert (gone.run.state, gone.run.exit_code, gone.run.holds, gone.actions) == (_S.FINALIZING, None, False, ())


def test_what_the_stop_learnt_of_the_exit_is_kept_when_the_container_is_gone() -> None:
    assert decide(run(_S.INTERRUPTING, exit_code=143), None).run.exit_code == 143


@pytest.mark.parametrize("status", ContainerStatus)
def test_finalizing_keeps_the_log_and_clears_the_container_first(status: ContainerStatus) -> None:
    made = run(_S.FINALIZING)
    assert decide(made, container(status)) == Plan(run=made, actions=CLEAR)


@pytest.mark.parametrize("state", [_S.DONE, _S.INTERRUPTED, _S.TIMEOUT, _S.FAILED, _S.ERROR])
def test_finalizing_takes_the_state_that_the_outcome_names(state: RunState) -> None:
    made = run(_S.FINALIZING, outcome=Outcome(state=state, code="C", message="m"))
    assert decide(made, None) == Plan(run=replace(made, history=(*made.history, (SOON, state))))


@pytest.mark.parametrize("state", [_S.PENDING, _S.RUNNING, _S.RESTARTING])
@pytest.mark.parametrize("seen", [None, container(_C.LOST), container(_C.EXITED, exit_code=0)])
def test_what_ran_when_the_host_went_down_was_interrupted_whatever_its_exit_code(
    state: RunState, seen: Container | None
) -> None:
    ended = decide(launched(run(state)), seen, boot=OTHER_BOOT).run
    assert ended.outcome is not None
    assert (ended.state, ended.outcome.state) == (_S.FINALIZING, _S.INTERRUPTED)
    assert ended.outcome.code == "JOB_INTERRUPTED_BY_PLATFORM"
    last = decide(ended, None, boot=OTHER_BOOT, gpus=Unknown("the driver is not loaded yet"))
    assert (last.run.state, last.run.holds, last.again) == (_S.INTERRUPTED, False, True)


@pytest.mark.parametrize(
    "of", [notebook(wanted=Wanted.STOPPED), notebook(deleting_at=NOW)], ids=["stopped", "being deleted"]
)
def test_nothing_follows_a_reboot_for_who_is_not_wanted_any_more(of: Notebook) -> None:
    ended = decide(launched(run(_S.RUNNING)), None, boot=OTHER_BOOT).run
    assert not decide(ended, None, boot=OTHER_BOOT, of=of).again


def test_nothing_follows_a_reboot_where_the_admin_wants_so() -> None:
    policy = replace(POLICY, start_after_boot=False)
    sight = Sight(container=Known(None), boot_id=OTHER_BOOT)
    ended = plan(notebook(), launched(run(_S.RUNNING)), sight, policy, SOON).run
    assert not plan(notebook(), ended, sight, policy, SOON).again


def test_a_stop_under_way_when_the_host_went_down_keeps_its_outcome() -> None:
    ended = decide(run(_S.INTERRUPTING), container(_C.LOST), boot=OTHER_BOOT).run
    assert (ended.state, ended.outcome) == (_S.FINALIZING, STOPPED_BY_ALICE)
    assert not decide(ended, None, boot=OTHER_BOOT).run.holds


SICK = Known(HeldGpus(sick="GPU 0 (GPU-0): Xid 79"))
TAKEN = Known(HeldGpus(taken="GPU 0 (GPU-0): bob's python3 (pid 7) is on it"))
LINGERING = Known(HeldGpus(lingering=(("GPU-0", "alice's python3 (pid 8) is still on it"),)))
UNSEEN = Unknown("the driver does not answer")


@pytest.mark.parametrize("gpus", [SICK, TAKEN], ids=["sick", "taken"])
@pytest.mark.parametrize("made", [granted(run(_S.PENDING)), booting()], ids=["granted", "launched"])
def test_a_gpu_that_was_lost_between_grant_and_start_is_given_back(made: Run, gpus: Known[HeldGpus]) -> None:
    back = decide(made, None, gpus=gpus).run
    assert (back.waiting, back.holds, back.gpus, back.launched_at) == (True, False, (), None)
    assert (back.released_at, back.place) == (SOON, made.place)


@pytest.mark.parametrize("gpus", [SICK, TAKEN], ids=["sick", "taken"])
def test_a_container_made_on_a_gpu_that_is_lost_now_is_removed_unstarted(gpus: Known[HeldGpus]) -> None:
    made = booting()
    assert decide(made, container(_C.CREATED), gpus=gpus) == Plan(run=made, actions=(act.RemoveContainer(),))


def test_nothing_is_launched_on_gpus_that_nobody_can_see() -> None:
    made = granted(run(_S.PENDING))
    assert decide(made, None, gpus=UNSEEN) == Plan(run=made, wake_at=after(100))
    assert decide(made, None, gpus=UNSEEN, now=after(100)).run.waiting, "it is no fault of the editor's"


@pytest.mark.parametrize("gpus", [SICK, TAKEN, UNSEEN])
def test_a_running_notebook_is_left_alone_whatever_befalls_its_gpu(gpus: Known[HeldGpus] | Unknown) -> None:
    made = run(_S.RUNNING)
    assert decide(made, container(), gpus=gpus) == Plan(run=made, wake_at=made.timeout_at)


def test_a_restart_on_a_sick_gpu_ends_the_run_and_queues_another() -> None:
    ended = decide(run(_S.RESTARTING), container(), gpus=SICK).run
    assert ended.outcome is not None
    assert (ended.state, ended.outcome.state, ended.outcome.again) == (_S.INTERRUPTING, _S.INTERRUPTED, True)
    assert "Xid 79" in ended.outcome.message
    saved = decide(ended, None).run
    assert saved.holds, "until the commit that queues the other, lest somebody behind it be served first"
    last = decide(saved, None)
    assert (last.run.state, last.run.holds, last.again) == (_S.INTERRUPTED, False, True)


def test_a_stranger_on_its_gpu_does_not_keep_a_notebook_from_restarting() -> None:
    assert decide(run(_S.RESTARTING), container(_C.EXITED), gpus=TAKEN).actions[0] == act.StartContainer()


@pytest.mark.parametrize("state", [_S.INTERRUPTING, _S.FINALIZING, _S.INTERRUPTED])
def test_gpus_are_held_while_processes_of_the_run_are_on_them(state: RunState) -> None:
    made = replace(run(state), released_at=None)
    waits = decide(made, None, gpus=LINGERING, now=after(6))
    assert (waits.run, waits.actions) == (made, ())
    assert waits.wake_at == after(7)


@pytest.mark.parametrize("state", [_S.INTERRUPTING, _S.FINALIZING, _S.INTERRUPTED])
def test_a_gpu_whose_processes_do_not_go_is_shut_off_before_its_lease_ends(state: RunState) -> None:
    made = replace(run(state), released_at=None)
    words = "alice's python3 (pid 8) is still on it"
    assert decide(made, None, gpus=LINGERING, now=after(40)) == Plan(
        run=made, actions=(act.QuarantineGpu("GPU-0", words),)
    )
    assert decide(made, None, now=after(40)).run.released_at == after(40)


def test_a_run_ends_with_its_gpus_held_while_nobody_can_see_them_and_gives_them_back_then() -> None:
    made = replace(run(_S.FINALIZING), released_at=None)
    ended = decide(made, None, gpus=UNSEEN).run
    assert (ended.state, ended.holds) == (_S.INTERRUPTED, True)
    assert decide(ended, None, gpus=UNSEEN) == Plan(run=ended)
    assert decide(ended, None).run.released_at == SOON
    doomed = decide(ended, None, gpus=UNSEEN, of=notebook(deleting_at=NOW))
    assert not doomed.forget, "its lease would be nobody's"


def test_a_reboot_does_not_disturb_what_waits_or_is_saved() -> None:
    assert decide(run(_S.PENDING), boot=OTHER_BOOT).run == run(_S.PENDING)
    assert decide(run(_S.FINALIZING), None, boot=OTHER_BOOT).run.state is _S.INTERRUPTED


@pytest.mark.parametrize("state", [state for state in RunState if state is not _S.PENDING])
@pytest.mark.parametrize("now", [SOON, after(10**9)], ids=["soon", "overdue"])
@pytest.mark.parametrize("boot", [BOOT, OTHER_BOOT])
def test_nothing_follows_from_what_could_not_be_seen(state: RunState, now: datetime, boot: str) -> None:
    made = run(state)
    planned = decide(made, Unknown("the engine does not answer"), now=now, boot=boot)
    assert (planned.run, planned.actions, planned.forget) == (made, (), False)
    doomed = decide(made, Unknown("the engine does not answer"), now=now, boot=boot, of=notebook(deleting_at=NOW))
    assert (doomed.run, doomed.actions, doomed.forget) == (made, (), False)


@pytest.mark.parametrize("now", [SOON, after(10**9)], ids=["soon", "overdue"])
def test_a_launched_run_waits_while_the_engine_cannot_be_seen(now: datetime) -> None:
    planned = decide(booting(), Unknown("the engine does not answer"), now=now)
    assert (planned.run, planned.actions) == (booting(), ())


def test_a_run_without_a_container_needs_no_engine_to_give_up_waiting() -> None:
    waiting = run(_S.PENDING)
    assert decide(waiting, Unknown("the engine does not answer")).run == waiting
    assert decide(waiting, Unknown("the engine does not answer"), now=after(500)).run.state is _S.INTERRUPTED


@pytest.mark.parametrize("state", sorted(FINAL))
def test_an_ended_run_is_settled(state: RunState) -> None:
    assert decide(run(state), None) == Plan(run=run(state))
    assert decide(run(state), container(_C.EXITED)) == Plan(run=run(state), actions=CLEAR)


def test_a_deleted_notebook_goes_when_its_container_is_gone() -> None:
    doomed = notebook(deleting_at=NOW)
    assert decide(run(_S.DONE), container(), of=doomed) == Plan(run=run(_S.DONE), actions=CLEAR)
    assert decide(run(_S.DONE), None, of=doomed) == Plan(run=run(_S.DONE), actions=(act.RemoveFiles(),), forget=True)


def test_a_notebook_deleted_by_force_is_stopped_first() -> None:
    doomed = notebook(deleting_at=NOW)
    stopping = end(run(_S.RUNNING), STOPPED_BY_ALICE, SOON)
    assert decide(stopping, container(), of=doomed).actions == (act.StopContainer(30),)
    assert not decide(stopping, container(), of=doomed).forget


def test_an_answer_counts_only_while_one_is_awaited() -> None:
    for state in (_S.RUNNING, _S.INTERRUPTING, _S.FINALIZING, _S.DONE):
        assert answered(run(state), POLICY, SOON) == run(state)
    up = answered(granted(run(_S.PENDING)), POLICY, SOON)
    assert (up.state, up.timeout_at) == (_S.RUNNING, SOON + timedelta(seconds=1000))


def test_only_what_runs_can_be_restarted() -> None:
    for state in set(RunState) - {_S.RUNNING}:
        with pytest.raises(IllegalTransition):
            restart(run(state), SOON)


def test_a_container_seen_without_a_digest_keeps_the_one_known() -> None:
    known = run(_S.RUNNING, image_digest="sha256:1")
    assert seen_running(known, container(image_digest=None)).image_digest == "sha256:1"


def test_a_failed_start_goes_straight_to_error_only_when_nothing_was_made() -> None:
    straight = start_failed(booting(), fault("JOB_INVALID_IMAGE_NAME"), SOON, nothing_made=True)
    assert (straight.state, straight.launched_at, straight.holds) == (_S.ERROR, None, False)
    by_the_road = start_failed(booting(), fault("JOB_ERROR"), SOON, nothing_made=False)
    assert (by_the_road.state, by_the_road.holds) == (_S.INTERRUPTING, True)
    seen = replace(booting(), container_started_at=NOW)
    assert start_failed(seen, fault("JOB_ERROR"), SOON, nothing_made=True).state is _S.INTERRUPTING
