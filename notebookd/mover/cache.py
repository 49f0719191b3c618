# SPDX-License-Identifier: Apache-2.0
"""Bring a shared read-only copy in: ``versions/<version>/``, whole as soon as it has that name.

A version is the digest of a listing. What did not change since an earlier version is linked from there, so that two
versions take the room of their difference. ``listings/<version>.json`` says what is in one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from notebookd.mover.job import Job, Places
from notebookd.mover.manifest import Seen, place_durably
from notebookd.mover.names import take_folders
from notebookd.mover.rclone import Rclone
from notebookd.mover.report import Code, Fault, Reporter, Result, named, readable_size
from notebookd.mover.staging import ROUNDS, Lost, fetch, is_refusal, is_whole, same_boot, sift
from notebookd.mover.tree import Tree
from notebookd.mover.visit import sync_disk
from notebookd.mover.volume import locked


def pull_version(job: Job, rclone: Rclone, reporter: Reporter) -> Result:
    """The task ``pull`` with ``cache``. Facts: ``version``, ``bytes``, ``files``."""
    root = job.places.volume
    with locked(root):
        for name in ("versions", "listings", "staging"):
            (root / name).mkdir(exist_ok=True)
        abilities = rclone.abilities()
        failed: Mapping[str, str] = {}
        for round_ in range(ROUNDS):
            there, strange = rclone.listing(abilities)
            lost = Lost(strange + take_folders(there))
            failed = _ensure(job, there, rclone, reporter)
            if failed and all(map(is_refusal, failed.values())) and len(failed) < len(there) and round_ == ROUNDS - 1:
                lost.refused = dict(failed)
                there = {path: each for path, each in there.items() if path not in failed}
                failed = _ensure(job, there, rclone, reporter)
            reporter.progress.failed = len(lost) + len(failed)
            if not failed:
                facts: dict[str, str | int] = {"version": version_of(there), "files": len(there)}
                facts["bytes"] = sum(each.size for each in there.values())
                return Result(message=lost.words(), facts=facts)
        raise Fault(
            Code.INCOMPLETE, f"cannot bring in {len(failed)} files ({named(failed)}): {next(iter(failed.values()))}"
        )


def _ensure(job: Job, there: Mapping[str, Seen], rclone: Rclone, reporter: Reporter) -> Mapping[str, str]:
    """Have the version of that listing there, if it can be. Returns what failed."""
    version = version_of(there)
    if (job.places.volume / "versions" / version).is_dir():
        return {}
    _require_size(job, there)
    return _build(job.places, version, there, rclone, reporter)


def version_of(there: Mapping[str, Seen]) -> str:
    """The name of what a listing says."""
    rows = [[path, *there[path]] for path in sorted(there)]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:32]


def _build(
    places: Places, version: str, there: Mapping[str, Seen], rclone: Rclone, reporter: Reporter
) -> Mapping[str, str]:
    """Fill the staging folder, then give it the version's name. Returns what failed."""
    root, boot = places.volume, places.boot
    staging = root / "staging"
    progress = reporter.progress
    with Tree(staging) as tree:
        begun = _read_listing(root / "staging.json") if same_boot(root, boot) else {}
        kept = sift(tree, there, begun)
        place_durably(root / "staging.json", _listing(there))
        for path in _link_known(root, tree, there, set(kept)):
            if (stamp := tree.look(path)) is not None:
                kept[path] = stamp
        progress.total, progress.skipped = len(there), len(kept)
        progress.total_bytes = sum(each.size for path, each in there.items() if path not in kept)
        reporter.tick()
        staged = fetch(rclone, tree, staging, there, kept)
        progress.completed = len(staged.whole) - len(kept)
        progress.processed = len(staged.whole)
        if staged.failed:
            return staged.failed
        for path in tree.walk().files.keys() - there.keys():
            tree.remove(path)
    place_durably(root / "listings" / f"{version}.json", _listing(there))
    sync_disk(root)
    staging.rename(root / "versions" / version)
    (root / "staging.json").unlink(missing_ok=True)
    return {}


def _link_known(root: Path, tree: Tree, there: Mapping[str, Seen], present: set[str]) -> list[str]:
    """Link what the newest earlier version has of the same; returns the paths."""
    linked: list[str] = []
    for listing in sorted((root / "listings").glob("*.json"), key=lambda each: each.stat().st_mtime, reverse=True):
        folder = root / "versions" / listing.stem
        if not folder.is_dir():
            listing.unlink(missing_ok=True)  # its version was collected
            continue
        known = _read_listing(listing)
        with Tree(folder) as earlier:
            for path, version in there.items():
                if path in present or known.get(path) != version:
                    continue
                stamp = earlier.look(path)
                if stamp is not None and is_whole(stamp, version):
                    with suppress(OSError):
                        earlier.link_out(path, tree, path)
                        linked.append(path)
        break
    return linked


def _listing(there: Mapping[str, Seen]) -> bytes:
    return json.dumps(there).encode()


def _read_listing(path: Path) -> dict[str, Seen]:
    try:
        return {name: Seen(*row) for name, row in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # it only saves work


def _require_size(job: Job, there: Mapping[str, Seen]) -> None:
    limit, size = job.limit("max_bytes"), sum(each.size for each in there.values())
    if limit is not None and size > limit:
        most = readable_size(limit)
        raise Fault(Code.TOO_LARGE, f"there are {readable_size(size)}, more than the {most} that may come in")
