# SPDX-License-Identifier: Apache-2.0
"""The plan, carried out in a small world that crashes, reboots, loses sight and changes its mind."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from notebookd.domain import actions as act
from notebookd.domain.container import Container, ContainerStatus
from notebookd.domain.ids import RunId
from notebookd.domain.notebook import Wanted
from notebookd.domain.observed import Known, Seen, Unknown
from notebookd.domain.plan import LifecyclePolicy, Sight, plan
from notebookd.domain.run import EDGES, FINAL, INITIAL, Outcome, Run, RunState, end
from notebookd.domain.turns import answered, restart, seen_running, start_failed
from tests.values import NOW, RUN_ID, STOPPED_BY_ALICE, after, container, granted, launched, notebook, run

POLICY = LifecyclePolicy(max_running_s=1000, stop_grace_s=30, start_timeout_s=100, queue_timeout_s=500)
LEGAL = {(edge.source, edge.target) for edge in EDGES}
UNSEEN = Unknown("the engine does not answer")
MANY = 40
"""Turns in which any world must have come to rest."""

_C = ContainerStatus

statuses = st.sampled_from(list(ContainerStatus))
sights = st.one_of(
    st.just(Known(None)),
    st.builds(
        lambda status, started, code: Known(container(status, started_at=started, exit_code=code)),
        statuses,
        st.sampled_from([None, NOW, after(3)]),
        st.sampled_from([None, 0, 1, 137]),
    ),
    st.just(UNSEEN),
)
runs = st.one_of(
    st.sampled_from(list(RunState)).map(run),
    st.just(granted(run(RunState.PENDING))),
    st.just(launched(run(RunState.PENDING))),
    st.just(replace(launched(run(RunState.PENDING)), container_started_at=None, container_pid=None)),
)
notebooks = st.builds(
    lambda deleting, again: notebook(deleting_at=NOW if deleting else None, timeout_auto_restart=again),
    st.booleans(),
    st.booleans(),
)


@given(notebooks, runs, sights, st.sampled_from(["boot-1", "boot-2"]), st.integers(0, 2_000_000))
def test_a_plan_is_the_same_each_time_and_walks_the_table(
    made: object, before: Run, seen: Seen[Container | None], boot: str, seconds: int
) -> None:
    sight = Sight(container=seen, boot_id=boot)
    planned = plan(made, before, sight, POLICY, after(seconds))  # type: ignore[arg-type]
    assert planned == plan(made, before, sight, POLICY, after(seconds))  # type: ignore[arg-type]
    assert planned.run.history[: len(before.history)] == before.history
    for (_, source), (_, target) in pairwise(planned.run.history):
        assert (source, target) in LEGAL
    if isinstance(seen, Unknown) and before.launched_at is not None:
        assert (planned.run, planned.actions, planned.forget) == (before, (), False)
    if before.state in FINAL:
        assert planned.run == before
    if before.outcome is not None:
        assert planned.run.outcome == before.outcome
    if act.RemoveFiles() in planned.actions:
        assert planned.forget


class Life(RuleBasedStateMachine):
    """One notebook over many starts. What is on disk: ``notebook``, ``run``. What is in the world: ``containers``."""

    @initialize(again=st.booleans(), queued=st.booleans(), turns=st.integers(0, 4))
    def begin(self, again: bool, queued: bool, turns: int) -> None:
        self.now = NOW
        self.boot = 1
        self.reachable = True
        self.answers = True
        self.breaks: str | None = None
        self.notebook = notebook(timeout_auto_restart=again)
        self.run = run(RunState.QUEUED if queued else RunState.PENDING)
        self.starts = 1
        self.containers: dict[RunId, Container] = {}
        self.files = True
        self.gone = False
        self.all_is_well(turns)

    # What people and the machine do

    @precondition(lambda self: self.run.state not in FINAL)
    @rule()
    def stop(self) -> None:
        self.notebook = replace(self.notebook, wanted=Wanted.STOPPED)
        self.run = end(self.run, STOPPED_BY_ALICE, self.now)

    @precondition(lambda self: self.run.state is RunState.RUNNING)
    @rule()
    def restart(self) -> None:
        self.run = restart(self.run, self.now)

    @precondition(lambda self: self.run.state in FINAL and self.notebook.deleting_at is None)
    @rule()
    def start(self) -> None:
        self.starts += 1
        made = run(RunState.PENDING, history=((self.now, RunState.PENDING),), number=self.starts)
        self.run = replace(made, id=RunId(f"{RUN_ID[:-4]}{self.starts:04}"))
        self.notebook = replace(self.notebook, wanted=Wanted.RUNNING)

    @precondition(lambda self: self.starts > 2 and self.notebook.deleting_at is None)
    @rule()
    def delete(self) -> None:
        self.notebook = replace(self.notebook, wanted=Wanted.STOPPED, deleting_at=self.now)
        self.run = end(self.run, STOPPED_BY_ALICE, self.now)

    @precondition(lambda self: self.run.waiting)
    @rule()
    def grant(self) -> None:
        self.run = granted(self.run, self.now)

    @rule(seconds=st.sampled_from([1, 50, 200, 1000]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(seconds=st.sampled_from([1, 5000]))
    def somebody_sets_the_clock_back(self, seconds: int) -> None:
        self.now -= timedelta(seconds=seconds)

    @rule(how=st.sampled_from([0, 1, 137, "lost", "removed"]))
    def the_container_dies(self, how: int | str) -> None:
        seen = self.containers.get(self.run.id)
        if seen is None or seen.status is not _C.RUNNING:
            return
        if how == "removed":
            del self.containers[self.run.id]
        else:
            code = how if isinstance(how, int) else None
            status = _C.LOST if code is None else _C.EXITED
            self.containers[self.run.id] = replace(seen, status=status, pid=None, exit_code=code)

    @rule()
    def the_host_reboots(self) -> None:
        self.boot += 1
        for run_id, seen in self.containers.items():
            if seen.status is _C.RUNNING:
                self.containers[run_id] = replace(seen, status=_C.LOST, pid=None)

    @rule(reachable=st.booleans(), answers=st.booleans())
    def weather(self, reachable: bool, answers: bool) -> None:
        self.reachable, self.answers = reachable, answers

    @rule(step=st.sampled_from(["files", "create", "start", None]))
    def something_is_broken(self, step: str | None) -> None:
        self.breaks = step

    # What the daemon does

    @rule(turns=st.integers(1, 5))
    def all_is_well(self, turns: int) -> None:
        self.reachable = self.answers = True
        self.breaks = None
        for _ in range(turns):
            if self.run.waiting:
                self.run = granted(self.run, self.now)
            self.turn(99)

    @rule(crash_after=st.integers(0, 6))
    def reconcile(self, crash_after: int) -> None:
        self.turn(crash_after)

    def turn(self, steps: int) -> bool:
        """One turn that dies after so many steps; whether the world was found as it should be."""
        if self.gone:
            return True
        seen: Seen[Container | None] = Known(self.containers.get(self.run.id)) if self.reachable else UNSEEN
        planned = plan(self.notebook, self.run, Sight(container=seen, boot_id=f"boot-{self.boot}"), POLICY, self.now)
        if not self.reachable and self.run.launched_at is not None:
            assert planned.run == self.run
            assert planned.actions == ()
        if planned.run == self.run and not planned.actions:
            return True
        if steps == 0:
            return False
        self.run = planned.run
        for action in planned.actions:
            steps -= 1
            if steps == 0 or (not self.reachable and not isinstance(action, act.PrepareFiles)):
                return False
            before = self.run
            self.run = self.execute(action)
            if self.run.outcome is not None and before.outcome is None:
                return False
        self.gone = planned.forget
        return False

    def execute(self, action: act.Action) -> Run:
        match action:
            case act.PrepareFiles():
                if self.breaks == "files":
                    return start_failed(
                        self.run,
                        Outcome(state=RunState.ERROR, code="JOB_ERROR", message="no marker"),
                        self.now,
                        nothing_made=True,
                    )
            case act.CreateContainer():
                if self.breaks == "create":
                    return start_failed(
                        self.run,
                        Outcome(state=RunState.ERROR, code="JOB_INVALID_IMAGE_NAME", message="no image"),
                        self.now,
                        nothing_made=True,
                    )
                assert not self.containers, "a container is made while another stands"
                assert self.run.container_started_at is None, "a container that ran is made again"
                self.containers[self.run.id] = container(_C.CREATED, exit_code=None)
            case act.StartContainer():
                return self.start_container()
            case act.AwaitEditor():
                seen = self.containers[self.run.id]
                if self.answers and seen.status is _C.RUNNING:
                    assert seen.started_at != self.run.restart_from, "it was never restarted"
                    return answered(self.run, POLICY, self.now)
            case act.StopContainer():
                seen = self.containers[self.run.id]
                self.containers[self.run.id] = replace(seen, status=_C.EXITED, pid=None, exit_code=143)
            case act.RemoveContainer():
                self.containers.pop(self.run.id, None)
            case act.LeaveNotice() | act.RemoveNotice():
                return replace(self.run, warned=getattr(action, "warned", None))
            case act.RemoveFiles():
                assert not self.containers
                self.files = False
        return self.run

    def start_container(self) -> Run:
        if self.breaks == "start":
            return start_failed(
                self.run,
                Outcome(state=RunState.ERROR, code="JOB_ERROR", message="no device"),
                self.now,
                nothing_made=False,
            )
        seen = self.containers[self.run.id]
        if seen.status is not _C.RUNNING:
            self.starts += 1
            began = NOW + timedelta(microseconds=self.starts)
            seen = replace(seen, status=_C.RUNNING, pid=4242, started_at=began, exit_code=None)
            self.containers[self.run.id] = seen
        return seen_running(self.run, seen)

    # What must hold

    @invariant()
    def the_history_walks_the_table(self) -> None:
        assert self.run.history[0][1] in INITIAL
        for (earlier, source), (later, target) in pairwise(self.run.history):
            assert (source, target) in LEGAL
            assert earlier <= later

    @invariant()
    def an_ended_run_holds_nothing(self) -> None:
        if self.run.state in FINAL:
            assert not self.run.holds
            assert self.run.outcome is not None
            assert not self.containers

    @invariant()
    def gpus_are_held_while_a_container_may_use_them(self) -> None:
        if any(seen.status is _C.RUNNING for seen in self.containers.values()):
            assert self.run.holds

    def teardown(self) -> None:
        """Let the weather clear: the world comes to rest, and is then as it should be."""
        if not hasattr(self, "run"):
            return
        for _ in range(MANY):
            self.all_is_well(1)
            if self.turn(99) and not self.run.waiting:
                break
        else:
            raise AssertionError(f"no rest after {MANY} turns in {self.run.state}")
        self.an_ended_run_holds_nothing()
        self.the_history_walks_the_table()
        standing = [seen for seen in self.containers.values() if seen.status is _C.RUNNING]
        if self.run.state is RunState.RUNNING:
            assert len(standing) == len(self.containers) == 1
        else:
            assert self.run.state in FINAL
        if self.notebook.deleting_at is not None:
            assert self.gone
            assert not self.files
        assert self.turn(99), "a converged world plans nothing"


Life.TestCase.settings = settings(max_examples=250, stateful_step_count=40, deadline=None)
TestLife = Life.TestCase
