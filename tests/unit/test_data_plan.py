# SPDX-License-Identifier: Apache-2.0
"""A run and its data: what comes in before it starts, what goes out when it ends, and what holds it up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from notebookd.domain import actions as act
from notebookd.domain.attached import Attached, Place, attach, written
from notebookd.domain.data_plan import absorbed, new_sync
from notebookd.domain.ids import NotebookId
from notebookd.domain.observed import Known, Seen
from notebookd.domain.plan import LifecyclePolicy, Plan, Sight, plan
from notebookd.domain.run import Origin, Outcome, Run, RunState, first_state
from notebookd.domain.syncing import (
    Clear,
    Interrupt,
    Launch,
    Report,
    Sync,
    SyncCause,
    SyncKind,
    SyncState,
)
from notebookd.domain.volumes import parse_volume
from tests.values import BOOT, NOTEBOOK_ID, NOW, after, notebook, run

_S = RunState
POLICY = LifecyclePolicy(snapshot_at_stop=True)
NO_SNAPSHOTS = LifecyclePolicy()
OK = Report(over=True, ok=True, code="DATASYNC_DONE")
BROKEN = Report(over=True, ok=False, code="DATASYNC_UNREACHABLE", message="nobody answers")


def attached(*texts: str) -> tuple[Attached, ...]:
    return attach(NOTEBOOK_ID, [parse_volume(text) for text in texts], (), {"DIR": True})


class Story:
    """A run that is planned again and again, and whose movers do as they are told."""

    def __init__(self, run: Run, *, policy: LifecyclePolicy = POLICY, deleting: bool = False) -> None:
        self.run = run
        self.policy = policy
        self.notebook = notebook(deleting_at=NOW if deleting else None, workspace_made=True)
        self.syncs: dict[str, Sync] = {}
        self.movers: dict[str, Report | None] = {}
        self.now = after(10)
        self.planned = Plan(run=run)

    def turn(self, *, slots: int = 9) -> Plan:
        """One look and what follows from it."""
        seen: dict[str, Seen[Report | None]] = {
            each.id: Known(self.movers.get(each.id))
            for sync in self.syncs.values()
            for each in sync.transfers
            if each.state is SyncState.RUNNING
        }
        sight = Sight(container=Known(None), boot_id=BOOT, syncs=tuple(self.syncs.values()), movers=seen, slots=slots)
        self.planned = plan(self.notebook, self.run, sight, self.policy, self.now)
        self.run = self.planned.run
        self.syncs |= {each.id: each for each in self.planned.syncs}
        for action in self.planned.actions:
            match action:
                case Launch(_, transfer):
                    self.movers[transfer.id] = Report(over=False)
                case Interrupt(transfer) | Clear(transfer):
                    self.movers.pop(transfer.id, None)
        return self.planned

    def settle(self) -> None:
        """Turn until nothing changes."""
        for _ in range(20):
            before = self.run, dict(self.syncs)
            self.turn()
            if (self.run, self.syncs) == before and not self.planned.actions:
                return
        raise AssertionError("it never comes to rest")

    def movers_say(self, report: Report, kind: SyncKind | None = None) -> None:
        for sync in self.syncs.values():
            for transfer in sync.transfers:
                if transfer.state is SyncState.RUNNING and kind in {None, sync.kind}:
                    self.movers[transfer.id] = report
        self.settle()

    def of(self, kind: SyncKind) -> list[Sync]:
        return [each for each in self.syncs.values() if each.kind is kind]


def starting(*texts: str, origin: Origin | None = None) -> Run:
    volumes = attached(*texts)
    return replace(run(_S.PENDING), history=((NOW, first_state(volumes, origin)),), volumes=volumes, origin=origin)


def ending(*volumes: Attached, outcome: RunState = _S.INTERRUPTED) -> Run:
    """Its container is gone, its data is still here."""
    return run(
        _S.FINALIZING,
        launched_at=NOW,
        boot_id=BOOT,
        container_started_at=NOW,
        volumes=tuple(volumes),
        outcome=Outcome(state=outcome, code="C", message="m"),
    )


def dirty(text: str = "c@S3:/a:rw") -> Attached:
    return written([replace(attached(text)[0], pulled_at=NOW)])[0]


@pytest.mark.parametrize("texts", [(), ("standalone:/s",), ("d@DIR:/d:rw",)])
def test_what_needs_no_transfer_waits_for_compute_at_once(texts: Sequence[str]) -> None:
    assert starting(*texts).state is _S.PENDING


@pytest.mark.parametrize("text", ["c@S3:/a", "https://h/x.git:/g", "c@S3:/a:cache"])
def test_what_is_to_come_in_comes_in_before_anything_is_asked_for(text: str) -> None:
    story = Story(starting(text))
    assert story.run.state is _S.QUEUED
    story.settle()
    assert story.run.state is _S.INITIALIZING
    assert not story.run.waiting
    story.movers_say(OK)
    assert story.run.waiting
    assert story.run.volumes[0].pulled_at == story.now


def test_all_volumes_come_in_side_by_side() -> None:
    story = Story(starting("a@S3:/a", "b@S3:/b", "standalone:/s"))
    story.settle()
    (pull,) = story.of(SyncKind.PULL)
    assert [each.state for each in pull.transfers] == [SyncState.RUNNING] * 2


@pytest.mark.parametrize(
    ("code", "state"),
    [("DATASYNC_SOURCE_NOT_FOUND", _S.FAILED), ("DATASYNC_UNREACHABLE", _S.ERROR), ("DATASYNC_DISK_FULL", _S.ERROR)],
)
def test_a_run_whose_data_does_not_come_in_ends(code: str, state: RunState) -> None:
    story = Story(starting("c@S3/p:/a"))
    story.settle()
    story.movers_say(replace(BROKEN, code=code))
    assert story.run.state is state
    assert story.run.outcome is not None
    assert story.run.outcome.code == code
    assert "c@S3/p:/a" in story.run.outcome.message


@pytest.mark.parametrize(
    ("text", "code", "advice"),
    [
        ("c@S3/p:/a", "DATASYNC_SOURCE_NOT_FOUND", "`notebookctl datastore objects S3` shows what there is"),
        ("https://h.example/x.git:/a", "DATASYNC_SOURCE_NOT_FOUND", "`--volume` for each one to have"),
        ("https://h.example/x.git:/a", "DATASYNC_NOT_FAST_FORWARD", "gives it up and takes what there is now"),
        ("c@S3:/a", "DATASYNC_UNREACHABLE", "`notebookctl start NOTEBOOK` tries again"),
        ("c@S3:/a", "DATASYNC_ERROR", "`notebookctl bugreport` collects what is known of it"),
    ],
)
def test_a_run_whose_data_does_not_come_in_says_what_to_do(text: str, code: str, advice: str) -> None:
    story = Story(starting(text))
    story.settle()
    story.movers_say(replace(BROKEN, code=code))
    outcome = story.run.outcome
    assert outcome is not None
    assert outcome.message.startswith(f"cannot bring in {text}: nobody answers")
    assert outcome.message.endswith(advice)


def test_a_workspace_is_filled_before_volumes_come_in() -> None:
    story = Story(starting("c@S3:/a", origin=Origin(notebook_id=NotebookId("other"), key="abc")))
    story.notebook = replace(story.notebook, workspace_made=False)
    story.turn()
    assert act.PrepareFiles() in story.turn().actions
    story.notebook = replace(story.notebook, workspace_made=True)
    story.settle()
    assert [each.origin for each in story.of(SyncKind.RESTORE)] == ["other abc"]
    assert not story.of(SyncKind.PULL)
    story.movers_say(OK, SyncKind.RESTORE)
    assert story.run.origin is None
    assert len(story.of(SyncKind.PULL)) == 1


def test_a_stop_while_data_comes_in_pushes_nothing_and_ends_the_movers() -> None:
    story = Story(starting("c@S3:/a:rwd"))
    story.settle()
    stopped = Outcome(state=_S.INTERRUPTED, code="C", message="m")
    story.run = replace(story.run, outcome=stopped, history=(*story.run.history, (story.now, _S.INTERRUPTED)))
    story.settle()
    assert [each.state for each in story.of(SyncKind.PULL)] == [SyncState.INTERRUPTED]
    assert not story.of(SyncKind.PUSH)
    assert story.movers == {}
    assert story.run.volumes[0].pulled_at is None


def test_only_what_was_pulled_and_is_writable_becomes_dirty() -> None:
    volumes = attached("a@S3:/a", "b@S3:/b:rw", "c@S3:/c:rwd", "https://h/x.git:/g:rw", "d@DIR:/d:rw")
    pulled = [replace(each, pulled_at=NOW) for each in volumes]
    assert [each.volume.mount_path for each in written(pulled) if each.dirty] == ["/b", "/c"]
    assert not any(each.dirty for each in written(volumes)), "what never came in whole is never pushed"


def test_a_dirty_volume_goes_out_and_a_snapshot_is_taken_before_the_end() -> None:
    story = Story(ending(dirty(), replace(dirty("x@S3:/x"), dirty=False)))
    story.settle()
    assert story.run.state is _S.FINALIZING
    (push,) = story.of(SyncKind.PUSH)
    assert [each.volume.mount_path for each in push.transfers if each.volume] == ["/a"]
    assert len(story.of(SyncKind.SNAPSHOT)) == 1
    story.movers_say(OK, SyncKind.PUSH)
    assert story.run.state is _S.FINALIZING
    story.movers_say(OK, SyncKind.SNAPSHOT)
    assert story.run.state is _S.INTERRUPTED
    assert not any(each.dirty for each in story.run.volumes)
    assert story.run.volumes[0].pushed_at == story.now


@pytest.mark.parametrize("outcome", [_S.DONE, _S.FAILED, _S.ERROR, _S.TIMEOUT])
def test_whatever_ended_a_run_its_data_goes_out(outcome: RunState) -> None:
    story = Story(ending(dirty(), outcome=outcome), policy=NO_SNAPSHOTS)
    story.settle()
    assert len(story.of(SyncKind.PUSH)) == 1
    story.movers_say(OK)
    assert story.run.state is outcome


def test_a_failed_push_keeps_the_outcome_and_a_good_one_leads_to_it() -> None:
    story = Story(ending(dirty(), outcome=_S.TIMEOUT), policy=NO_SNAPSHOTS)
    story.settle()
    story.movers_say(BROKEN)
    assert story.run.state is _S.SYNC_FAILED
    assert story.run.outcome is not None
    assert story.run.outcome.state is _S.TIMEOUT
    assert story.run.unsynced is not None
    assert story.run.unsynced.code == "DATASYNC_UNREACHABLE"
    assert "nobody answers" in story.run.unsynced.message
    (push,) = story.of(SyncKind.PUSH)
    again = replace(push, id="again", cause=SyncCause.MANUAL, transfers=(replace(push.transfers[0], id="t"),))
    again = replace(again, transfers=(replace(again.transfers[0], state=SyncState.QUEUED),))
    story.syncs["again"] = again
    story.settle()
    story.movers_say(OK)
    assert story.run.state is _S.TIMEOUT
    assert story.run.unsynced is None


def test_files_that_no_push_will_carry_can_be_read_where_they_are() -> None:
    volume = dirty()
    story = Story(ending(volume))
    story.settle()
    story.movers_say(replace(BROKEN, code="DATASYNC_INCOMPLETE"))
    assert story.run.unsynced is not None
    assert f"`notebookctl cp NOTEBOOK:{volume.volume.mount_path} .` reads it" in story.run.unsynced.message


def test_a_failed_snapshot_is_no_reason_to_hold_a_notebook_up() -> None:
    story = Story(ending())
    story.settle()
    story.movers_say(BROKEN)
    assert story.run.state is _S.INTERRUPTED
    assert [each.state for each in story.of(SyncKind.SNAPSHOT)] == [SyncState.FAILED]


def test_what_is_being_deleted_is_neither_pushed_nor_kept() -> None:
    story = Story(ending(dirty()), deleting=True)
    story.turn()
    assert story.run.state is _S.INTERRUPTED
    planned = story.turn()
    assert story.syncs == {}
    assert planned.forget
    assert planned.actions == (act.RemoveFiles(),)


def test_a_deletion_waits_until_its_movers_have_let_go() -> None:
    story = Story(ending(dirty()), policy=NO_SNAPSHOTS)
    story.settle()
    assert story.movers
    story.notebook = replace(story.notebook, deleting_at=story.now)
    planned = story.turn()
    assert not planned.forget
    assert any(isinstance(each, Interrupt) for each in planned.actions)
    story.turn()
    story.turn()
    assert story.run.state is _S.INTERRUPTED


def test_compute_is_given_back_before_data_goes_out() -> None:
    holding = replace(ending(dirty()), granted_at=NOW, gpus=("GPU-1",))
    story = Story(holding, policy=NO_SNAPSHOTS)
    story.turn()
    assert not story.run.holds
    assert story.run.state is _S.FINALIZING


def test_a_push_asked_for_while_it_runs_leaves_the_volume_dirty() -> None:
    volume = dirty()
    running = run(_S.RUNNING, volumes=(volume,))
    asked = new_sync(running, SyncKind.PUSH, SyncCause.MANUAL, running.volumes, (), NOW)
    done = replace(asked, transfers=(replace(asked.transfers[0], state=SyncState.DONE),))
    pushed = absorbed(running, asked, done, after(10)).volumes[0]
    assert pushed.pushed_at == after(10)
    assert pushed.dirty


def test_a_folder_of_the_host_needs_no_cache() -> None:
    assert [each.place for each in attached("d@DIR:/d:cache", "c@S3:/c:cache")] == [Place.DIRECTORY, Place.CACHE]


def test_what_is_known_of_files_is_kept_from_run_to_run() -> None:
    first = attached("c@S3:/a:rw", "https://h/x.git:/g")
    known = [replace(each, pulled_at=NOW, pushed_at=NOW) for each in first]
    again = attach(NOTEBOOK_ID, [parse_volume("c@S3:/a:ro"), parse_volume("c@S3:/other")], known, {})
    assert again[0].pulled_at == NOW
    assert again[0].volume.permission == "RO"
    assert again[1].pulled_at is None
