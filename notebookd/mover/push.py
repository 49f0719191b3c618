# SPDX-License-Identifier: Apache-2.0
"""Carry a volume's changes back.

A level-driven loop: look at both sides, take note of what arrived since the last look, decide, send a part of what is
left, and look again, until nothing is left. So a push that was killed anywhere is taken up as if by the next turn.

What is sent is hard-linked into a private tree first (rclone never walks ground that a notebook can rewrite). Where a
remote shows a file before all of it is there, it goes into a temporary folder, and is renamed there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from notebookd.mover.abilities import Abilities
from notebookd.mover.decide import PushPlan, Upload, decide_push
from notebookd.mover.faults import Side, code_of
from notebookd.mover.job import Job
from notebookd.mover.manifest import Entry, Seen, Sending
from notebookd.mover.names import conflict_name, folders_of, matches_any, remote_name
from notebookd.mover.obstacles import Ground, lost_words
from notebookd.mover.rclone import Outcome, Rclone
from notebookd.mover.report import Code, Fault, Reporter, Result, named
from notebookd.mover.staging import CHANGED, went_down_since
from notebookd.mover.tree import Walk
from notebookd.mover.visit import sync_disk
from notebookd.mover.volume import Volume, digest_or_none

ATTEMPTS = 3
"""How often one file is sent that changes meanwhile, or fails."""
BATCH_FILES = 5000
BATCH_BYTES = 4 * 1024**3
"""After so much both sides are looked at again: what another wrote meanwhile is seen in time."""
DIGESTED_BYTES = 64 * 1024**2
"""Files up to this size are known by their content should the push be killed and the file change before the next."""


def push(job: Job, reporter: Reporter) -> Result:
    """The task ``push``."""
    return push_volume(job, Rclone(job, reporter), reporter)


def push_volume(job: Job, rclone: Rclone, reporter: Reporter) -> Result:
    """Push ``data/``."""
    if Volume.lost_its_data(job.places.volume):
        raise Fault(Code.DAMAGED, "cannot push: the folder of the local copy is gone, and who removed it is not known")
    with Volume.open(job.places.volume) as volume:
        return _Push(volume, rclone, reporter, job).run()


@dataclass(slots=True)
class _Tally:
    """What happened to files in this push, by path."""

    sent: set[str] = field(default_factory=set)
    conflicts: dict[str, str] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    attempts: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    undeleted: dict[str, str] = field(default_factory=dict)

    def wants(self, path: str) -> bool:
        """Whether a file is still to be tried."""
        return path not in self.sent and self.attempts.get(path, 0) < ATTEMPTS


class _Push:
    def __init__(self, volume: Volume, rclone: Rclone, reporter: Reporter, job: Job) -> None:
        self._volume = volume
        self._rclone = rclone
        self._reporter = reporter
        self._deletes = job.text("permission") == "RWD"
        self._mark = f"{job.text('notebook', 'notebook')[:8]}-{job.stamp}"
        self._abilities = Abilities()
        self._entries: dict[str, Entry] = {}
        self._sending: list[Sending] = []
        self._resumed = False
        self._aside = f".notebookd-{volume.token()}.part"
        self._arriving: set[str] = set()
        self._tally = _Tally()
        self._cleared: set[str] = set()
        self._excluded = job.texts("exclude")
        self._ground = Ground()
        self._went_down = went_down_since(volume.root, job.places.boot)

    def run(self) -> Result:
        volume = self._volume
        self._entries, whole = volume.notes.load()
        here = self._walk()
        if not whole:
            if here.files:
                raise Fault(
                    Code.ERROR, "cannot push: this volume was never pulled whole, so nobody knows what is new in it"
                )
            return Result(message="there is nothing to push")
        self._abilities = self._rclone.abilities()
        self._sending = volume.notes.load_outgoing()
        self._resumed = bool(self._sending)
        there: dict[str, Seen] = {}
        while True:
            there, _ = self._rclone.listing(self._abilities)
            self._ground = Ground.of(there, buckets=self._abilities.whole)
            self._settle(there)
            here = self._walk()
            known = {path: each for path, each in self._entries.items() if not matches_any(path, self._excluded)}
            plan = decide_push(known, here, there, self._same, deletes=self._deletes, nameless=self._ground.is_nameless)
            if plan.adopt:
                sync_disk(volume.root)
                self._entries.update(plan.adopt)
            if self._make_way(plan):
                continue
            self._foresee(plan, here)
            batch = self._batch(plan)
            if not batch:
                break
            self._send(batch)
        self._delete(plan.delete)
        for path in plan.forget:
            del self._entries[path]
        self._tidy(plan)
        self._remember()
        return self._result(plan, here)

    def _walk(self) -> Walk:
        """What is here, less what is left out."""
        here = self._volume.data.walk()
        here.leave_out(self._excluded)
        return here

    def _make_way(self, plan: PushPlan) -> bool:
        """Where a file became a folder or a folder a file, delete first what is to be deleted and stands in its way.
        Returns whether there was such: then both sides are looked at anew."""
        wanted = {each.path for each in plan.upload if self._tally.wants(each.path)}
        above = {folder for path in wanted for folder in folders_of(path)}
        doomed = [
            path
            for path in plan.delete
            if path not in self._cleared and (path in above or not wanted.isdisjoint(folders_of(path)))
        ]
        self._cleared.update(doomed)
        self._delete(doomed)
        for emptied in sorted({folder for path in doomed for folder in folders_of(path)} & wanted):
            self._rclone.remove_empty(emptied)
        return bool(doomed)

    def _tidy(self, plan: PushPlan) -> None:
        """Leave nothing behind, here or there, but notes of what is still to be sent."""
        unsent = {each.path for each in plan.upload} - self._tally.sent
        self._sending = [each for each in self._sending if each.path in unsent]
        self._volume.outgoing.clear()
        if self._resumed and not self._abilities.whole:
            self._rclone.purge(self._aside)

    def _foresee(self, plan: PushPlan, here: Walk) -> None:
        progress, tally = self._reporter.progress, self._tally
        left = [each for each in plan.upload if tally.wants(each.path)]
        progress.completed, progress.failed = len(tally.sent), len(tally.failed)
        progress.skipped = len(here.others) + len(plan.keep)
        progress.processed = progress.completed + progress.failed + progress.skipped
        progress.total = progress.processed + len(left) + len(plan.delete)
        progress.total_bytes = progress.transferred_bytes + sum(each.local.size for each in left)
        self._reporter.tick()

    def _batch(self, plan: PushPlan) -> list[Upload]:
        """What is sent next."""
        batch: list[Upload] = []
        size = 0
        for each in plan.upload:
            if not self._tally.wants(each.path):
                continue
            if why := self._ground.obstacle(each.path):
                self._tally.renamed[each.path] = why
                each = replace(each, conflict=True, target=self._ground.another_name(each.path, self._mark))  # noqa: PLW2901
            elif self._may_be_cut(each):
                self._tally.cut.add(each.path)
                each = replace(each, conflict=True)  # noqa: PLW2901
            if batch and (len(batch) >= BATCH_FILES or size + each.local.size > BATCH_BYTES):
                break
            batch.append(each)
            size += each.local.size
        return batch

    def _may_be_cut(self, upload: Upload) -> bool:
        """Whether what is here is perhaps what the machine left of a file as it went down: then it goes beside the
        version that is there, not over it."""
        if upload.conflict or upload.before is None or not upload.before.size or not self._went_down:
            return False
        return self._volume.data.looks_cut(upload.path)

    def _send(self, batch: Sequence[Upload]) -> None:
        """Link, note, upload, and rename there."""
        volume, tally = self._volume, self._tally
        former = {each.path: each for each in self._sending}
        volume.outgoing.clear()
        linked = (self._link(each, former.get(each.path)) for each in batch)
        self._sending = [each for each in linked if each is not None]
        sync_disk(volume.root)  # or a crash of the machine rolls a file back, and the next push takes that for an edit
        for each in batch:
            tally.attempts[each.path] = tally.attempts.get(each.path, 0) + 1
        if not self._sending:
            volume.notes.save_outgoing([])
            return
        if self._abilities.whole or not self._abilities.moves:
            volume.notes.save_outgoing(self._sending)
            outcome = self._rclone.send([each.target for each in self._sending], volume.root / "outgoing")
            self._judge(outcome)
        else:
            self._send_aside(former)

    def _send_aside(self, former: Mapping[str, Sending]) -> None:
        """Upload into the temporary folder, look once more, and rename what nobody was quicker with."""
        volume = self._volume
        folder = self._aside
        aside, _ = self._rclone.listing(self._abilities, folder) if former else ({}, [])
        kept = {each.target for each in self._sending if _is_still(each, former.get(each.path), aside)}
        if former and not kept:
            self._rclone.purge(folder)
        volume.notes.save_outgoing(self._sending)
        missing = [each for each in self._sending if each.target not in kept]
        if missing:
            self._judge(self._rclone.send([each.target for each in missing], volume.root / "outgoing", folder))
        aside, _ = self._rclone.listing(self._abilities, folder)
        there, _ = self._rclone.listing(self._abilities)
        whole: list[Sending] = []
        for each in self._sending:
            seen, now = aside.get(each.target), there.get(each.target)
            same = now is None if each.before is None or each.conflict else each.before.is_now(now)
            if seen is not None and seen.size == each.local.size and each.path not in self._tally.failed and same:
                whole.append(each._replace(staged=seen))
        self._sending = whole
        volume.notes.save_outgoing(whole)
        if whole:
            self._judge(self._rclone.settle([each.target for each in whole], folder))
        self._rclone.purge(folder)

    def _link(self, upload: Upload, former: Sending | None) -> Sending | None:
        """Give the private tree the file, as it is now; None when it is not there as it was."""
        volume, target, digest = self._volume, upload.path, ""
        self._tally.failed.pop(upload.path, None)
        if upload.conflict:
            again = former is not None and former.conflict and former.local.same_content(upload.local)
            fresh = upload.target or conflict_name(upload.path, self._mark)
            target = former.target if former is not None and again else fresh
        if self._abilities.digest and upload.local.size <= DIGESTED_BYTES:
            found = digest_or_none(volume.data, upload.path, self._abilities.digest)
            if found is None or not found[1].same_content(upload.local):
                return None
            digest = found[0]
        try:
            stamp = volume.data.link_out(upload.path, volume.outgoing, target)
        except OSError as error:
            self._tally.failed[upload.path] = error.strerror or "it cannot be read"
            return None
        if not stamp.same_content(upload.local):
            volume.outgoing.remove(target)
            return None
        return Sending(upload.path, target, upload.local, upload.before, upload.conflict, digest)

    def _judge(self, outcome: Outcome) -> None:
        """Note why files failed. What stops everything is raised, after note was taken of what arrived before."""
        for each in self._sending:
            words = outcome.failures.get(remote_name(each.target) or "")
            if words is not None:
                self._tally.failed[each.path] = words
        self._arriving = set() if outcome.status else {each.target for each in self._sending}
        fault = outcome.fault(Side.REMOTE)
        if fault is None or fault.code is Code.CHANGED:
            return
        if fault.code is not Code.UNREACHABLE:
            there, _ = self._rclone.listing(self._abilities)
            self._settle(there)
        raise fault

    def _settle(self, there: Mapping[str, Seen]) -> None:
        """Take note of what arrived of what was being sent, in this push or in one that was killed."""
        volume = self._volume
        if not self._sending:
            return
        left: list[Sending] = []
        arrived: list[tuple[Sending, Seen]] = []
        for each in self._sending:
            seen = there.get(each.target)
            before = None if each.conflict else each.before
            # What was written anew with the same bytes and time looks there as it did before.
            unmoved = before is not None and seen is not None and before.is_now(seen)
            if seen is not None and (not unmoved or each.target in self._arriving) and self._is_ours(each, seen):
                arrived.append((each, seen))
            else:
                left.append(each)
        for each, _ in arrived:
            volume.outgoing.remove(each.target)
        for each, seen in arrived:
            self._note(each, seen)
        self._sending = left
        self._remember()

    def _note(self, each: Sending, seen: Seen) -> None:
        now = self._volume.data.look(each.path)
        local = now if now is not None and now.same_content(each.local) else each.local
        if each.conflict:
            known = self._entries.get(each.path)
            self._entries[each.path] = Entry(local, known.remote if known else None, conflict=True)
            self._tally.conflicts[each.path] = each.target
        else:
            self._entries[each.path] = Entry(local, seen)
        self._tally.sent.add(each.path)
        self._tally.failed.pop(each.path, None)

    def _is_ours(self, each: Sending, seen: Seen) -> bool:
        """Whether the version at the remote is the one that was sent."""
        if each.staged is not None and each.staged.is_now(seen):
            return True
        if seen.size != each.local.size:
            return False
        digest = each.digest
        if seen.digest and not digest:
            found = digest_or_none(self._volume.outgoing, each.target, self._abilities.digest)
            digest = found[0] if found is not None and found[1].same_content(each.local) else ""
        if seen.digest and digest:
            return seen.digest == digest
        return each.target in self._arriving

    def _delete(self, paths: Collection[str]) -> None:
        """Delete at the remote what is still gone here."""
        gone = [path for path in paths if self._volume.data.look(path) is None and remote_name(path) is not None]
        if not gone:
            return
        outcome = self._rclone.delete(gone)
        there: Mapping[str, Seen] = {}
        if outcome.status:
            there, _ = self._rclone.listing(self._abilities)
        for path in gone:
            if path in there:
                self._tally.undeleted[path] = outcome.failures.get(remote_name(path) or "", "it cannot be deleted")
            else:
                del self._entries[path]
                self._reporter.progress.deleted += 1
        fault = outcome.fault(Side.REMOTE)
        if fault is not None and self._tally.undeleted:
            self._remember()
            raise fault

    def _remember(self) -> None:
        self._volume.notes.save(self._entries, whole=True)
        self._volume.notes.save_outgoing(self._sending)

    def _same(self, path: str, version: Seen) -> bool:
        if not version.digest:
            return False
        found = digest_or_none(self._volume.data, path, self._abilities.digest)
        return found is not None and found[0] == version.digest

    def _result(self, plan: PushPlan, here: Walk) -> Result:
        progress, tally = self._reporter.progress, self._tally
        failed = dict.fromkeys(here.opaque, "folders cannot be looked into")
        failed |= {
            each.path: tally.failed.get(each.path, CHANGED) for each in plan.upload if each.path not in tally.sent
        }
        failed |= tally.undeleted
        progress.completed, progress.failed = len(tally.sent), len(failed)
        progress.processed = progress.completed + progress.deleted + progress.failed + progress.skipped
        progress.total = progress.processed
        if failed:
            raise _incomplete(failed)
        said = []
        if cut := {path: target for path, target in tally.conflicts.items() if path in tally.cut}:
            pairs = named(f"{path} -> {target}" for path, target in cut.items())
            how = "what is here was laid beside the version at the remote"
            said.append(f"{len(cut)} files may have been cut when the machine went down; {how}: {pairs}")
        others = tally.conflicts.keys() - tally.renamed.keys() - tally.cut
        beside = {path: target for path, target in tally.conflicts.items() if path in others}
        if beside:
            pairs = named(f"{path} -> {target}" for path, target in beside.items())
            how = "ours was laid beside, keep which you want"
            said.append(f"{len(beside)} files were changed at the remote, too; {how}: {pairs}")
        if renamed := {path: target for path, target in tally.conflicts.items() if path in tally.renamed}:
            why = tally.renamed[next(iter(renamed))]
            pairs = named(f"{path} -> {target}" for path, target in renamed.items())
            said.append(f"{len(renamed)} files went up under another name: {pairs}: {why}")
        return Result(message="; ".join([*said, *lost_words(here)]))


def _is_still(now: Sending, former: Sending | None, aside: Mapping[str, Seen]) -> bool:
    """Whether the temporary folder has, from a push that was killed, what is to be sent now."""
    if former is None or former.path != now.path or not former.local.same_content(now.local):
        return False
    seen = aside.get(now.target)
    return seen is not None and seen.size == now.local.size and seen.is_now(former.staged or seen)


def _incomplete(failed: Mapping[str, str]) -> Fault:
    if all(code_of(words, Side.REMOTE) is Code.CHANGED for words in failed.values()):
        return Fault(Code.CHANGED, f"{len(failed)} files kept changing while they were copied: {named(failed)}")
    why = next(iter(failed.values()))
    return Fault(Code.INCOMPLETE, f"{len(failed)} files cannot be pushed ({named(failed)}): {why}")
