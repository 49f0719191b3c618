# SPDX-License-Identifier: Apache-2.0
"""Bring a volume in.

List, compare, fetch into ``staging/``, note what is about to happen, rename into ``data/``, remember. A file appears in
``data/`` whole or not at all, and a pull that is killed anywhere is taken up by the next one. Files are on the disk
before they get their names, and the names before they are remembered: so no crash of the machine leaves anything in
``data/`` that looks like an edit or a deletion and is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from notebookd.mover.abilities import Abilities
from notebookd.mover.decide import PullPlan, decide_pull
from notebookd.mover.job import Job
from notebookd.mover.manifest import Entry, Incoming, Seen
from notebookd.mover.names import take_folders
from notebookd.mover.rclone import Rclone
from notebookd.mover.report import Code, Fault, Reporter, Result, named, readable_size
from notebookd.mover.staging import ROUNDS, Lost, Staged, fetch, same_boot, sift
from notebookd.mover.visit import sync_disk
from notebookd.mover.volume import Volume, digest_or_none


def pull(job: Job, reporter: Reporter) -> Result:
    """The task ``pull``: into ``data/``, or with ``cache`` into a version of its own."""
    rclone = Rclone(job, reporter)
    if job.flag("cache"):
        from notebookd.mover.cache import pull_version

        return pull_version(job, rclone, reporter)
    return pull_volume(job, rclone, reporter)


def pull_volume(job: Job, rclone: Rclone, reporter: Reporter) -> Result:
    """Pull into ``data/``."""
    gone = Volume.lost_its_data(job.places.volume)
    with Volume.open(job.places.volume) as volume:
        if gone:
            volume.notes.forget()
        return _Pull(volume, rclone, reporter, job).run()


class _Pull:
    loses_modes = True
    """Whether the source knows no executable bits: those that a file was given here stay."""

    def __init__(self, volume: Volume, rclone: Rclone, reporter: Reporter, job: Job) -> None:
        self._volume = volume
        self._rclone = rclone
        self._reporter = reporter
        self._reset = job.flag("reset")
        self._writable = job.flag("writable")
        self._max_bytes = job.limit("max_bytes")
        self._abilities = Abilities()
        self._entries: dict[str, Entry] = {}
        self._whole = False
        self._kept: set[str] = set()
        self._boot = job.places.boot
        self._moved = False

    def run(self) -> Result:
        volume, progress = self._volume, self._reporter.progress
        self._abilities = self._rclone.abilities()
        there, strange = self._rclone.listing(self._abilities)
        if self._writable:
            self._rclone.require_folder(there)
        strange += take_folders(there)
        if self._reset:
            volume.notes.forget()
            volume.data.clear()
        self._entries, self._whole = volume.notes.load()
        self._settle()
        staged = Staged()
        for round_ in range(ROUNDS):
            if round_:
                there, strange = self._rclone.listing(self._abilities)
                strange += take_folders(there)
            staged = self._round(there)
            strange += staged.take_unnameable()
            if not staged.failed:
                break
        lost = Lost(strange)
        if staged.refuses_alone() and len(staged.failed) < len(there):
            lost.refused, staged.failed = staged.failed, {}
        progress.skipped, progress.failed = len(self._kept), len(staged.failed) + len(lost)
        self._reporter.tick()
        if staged.failed:
            self._remember(whole=self._whole)
            cause = next(iter(staged.failed.values()))
            why = "they kept changing at the remote" if staged.code is Code.CHANGED else cause
            raise Fault(staged.code, f"cannot bring in {len(staged.failed)} files ({named(staged.failed)}): {why}")
        self._remember(whole=True)
        came = [each.size for path, each in there.items() if path not in lost.refused]
        return Result(message=lost.words(), facts={"bytes": sum(came), "files": len(came)})

    def _settle(self) -> None:
        """Take up what an earlier pull was renaming when it ended."""
        volume = self._volume
        plan = volume.notes.load_incoming()
        for path, incoming in plan.items():
            if incoming.staged is None:
                continue
            here, waiting = volume.data.look(path), volume.staging.look(path)
            if here is not None and here.inode == incoming.staged.inode:
                if waiting is not None:
                    volume.staging.remove(path)
                    here = volume.data.look(path) or here
                known = here if here.same_content(incoming.staged) else incoming.staged
            elif waiting is not None:
                continue  # not renamed yet
            else:
                known = incoming.staged  # renamed, and replaced or removed by the notebook since
            self._entries[path] = Entry(known, incoming.remote)
        if any(incoming.staged for incoming in plan.values()):
            sync_disk(volume.root)
            volume.notes.save(self._entries, whole=self._whole)

    def _round(self, there: Mapping[str, Seen]) -> Staged:
        """One comparison and what follows from it."""
        volume, progress = self._volume, self._reporter.progress
        plan = decide_pull(self._entries, volume.data.walk(), there, self._same)
        self._kept = set(plan.keep)
        wanted = {path: version for path, (version, _) in plan.fetch.items()}
        self._require_size(wanted)
        progress.total = progress.completed + progress.deleted + len(wanted) + len(plan.remove) + len(plan.keep)
        progress.total_bytes = progress.transferred_bytes + sum(each.size for each in wanted.values())
        self._reporter.tick()
        begun = {path: each.remote for path, each in volume.notes.load_incoming().items()}
        if not same_boot(volume.root, self._boot):
            begun = {}
        kept = sift(volume.staging, wanted, begun)
        volume.notes.save_incoming({path: Incoming(version) for path, version in wanted.items()})
        staged = fetch(self._rclone, volume.staging, volume.root / "staging", wanted, kept)
        self._bring_in(plan, staged)
        self._remove(plan)
        for path in plan.forget:
            del self._entries[path]
        self._entries.update(plan.adopt)
        self._moved |= bool(plan.adopt)
        self._remember(whole=self._whole)
        return staged

    def _bring_in(self, plan: PullPlan, staged: Staged) -> None:
        """Rename what is whole into its place, unless the notebook was quicker."""
        volume, progress = self._volume, self._reporter.progress
        plans = {path: Incoming(version, staged.whole.get(path)) for path, (version, _) in plan.fetch.items()}
        if staged.whole:
            sync_disk(volume.root)
            self._moved = True
        volume.notes.save_incoming(plans)
        for path in sorted(staged.whole):
            version, before = plan.fetch[path]
            try:
                stamp = volume.data.take_in(volume.staging, path, before, may_run_as_before=self.loses_modes)
                self._entries[path] = Entry(stamp, version)
                progress.completed += 1
            except OSError as error:
                if volume.staging.look(path) is None:
                    raise
                self._kept.add(path)
                if not isinstance(error, (FileExistsError, NotADirectoryError)):
                    staged.failed[path] = error.strerror or "it cannot be named so here"
        progress.processed = progress.completed + progress.deleted

    def _remove(self, plan: PullPlan) -> None:
        """Remove what is gone at the remote and was not touched here."""
        for path, stamp in plan.remove.items():
            if self._volume.data.look(path) == stamp:
                with suppress(OSError):
                    self._volume.data.remove(path)
                    self._moved = True
                    self._reporter.progress.deleted += 1
                    del self._entries[path]

    def _remember(self, *, whole: bool) -> None:
        if self._moved:
            sync_disk(self._volume.root)
            self._moved = False
        self._volume.notes.save(self._entries, whole=whole)
        self._volume.notes.save_incoming({})
        if whole:
            self._volume.staging.clear()

    def _require_size(self, wanted: Mapping[str, Seen]) -> None:
        coming = sum(each.size for each in wanted.values())
        if self._max_bytes is not None and coming > self._max_bytes:
            most = readable_size(self._max_bytes)
            raise Fault(Code.TOO_LARGE, f"{readable_size(coming)} are to come, more than the {most} that may")

    def _same(self, path: str, version: Seen) -> bool:
        if not version.digest:
            return False
        found = digest_or_none(self._volume.data, path, self._abilities.digest)
        return found is not None and found[0] == version.digest
