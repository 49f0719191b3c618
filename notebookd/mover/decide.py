# SPDX-License-Identifier: Apache-2.0
"""What a pull and a push do about each file. Pure: from what is remembered, what is here and what is there.

Five kinds of a file on each side - as remembered, changed, new, gone, never there - make the table. The rules:

* Nobody's edit is overwritten or removed, on either side. A deletion is an edit, too.
* What both sides changed stays as it is here; on a push, ours goes up beside theirs, and once theirs is gone in its
  place.
* A push deletes what is remembered, gone here, and unchanged there; and only where deletions were asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from notebookd.mover.manifest import Entry, Seen, Stamp
from notebookd.mover.tree import Walk

Same = Callable[[str, Seen], bool]
"""Whether the local file of that path has the content of that version. False also when it cannot be told."""


@dataclass(slots=True)
class PullPlan:
    """``fetch``: the version to bring in, and what it replaces. ``adopt``: the same on both sides already. ``remove``:
    gone at the remote. ``keep``: changed here. ``forget``: gone on both sides."""

    fetch: dict[str, tuple[Seen, Stamp | None]] = field(default_factory=dict)
    adopt: dict[str, Entry] = field(default_factory=dict)
    remove: dict[str, Stamp] = field(default_factory=dict)
    keep: list[str] = field(default_factory=list)
    forget: list[str] = field(default_factory=list)


def decide_pull(entries: Mapping[str, Entry], here: Walk, there: Mapping[str, Seen], same: Same) -> PullPlan:
    """What a pull does."""
    plan = PullPlan()
    for path, version in there.items():
        _pull_one(plan, path, entries.get(path), here, version, same)
    for path, entry in entries.items():
        if path in there:
            continue
        local = here.files.get(path)
        if local is None:
            if not here.hides(path):
                plan.forget.append(path)
        elif entry.remote is None or entry.conflict:
            plan.keep.append(path)
        elif unchanged(path, local, entry, same):
            plan.remove[path] = local
        else:
            plan.keep.append(path)
    return plan


def _pull_one(plan: PullPlan, path: str, entry: Entry | None, here: Walk, version: Seen, same: Same) -> None:
    local = here.files.get(path)
    if local is None:
        known = entry is not None and entry.remote is not None and entry.remote.is_now(version)
        if known or here.hides(path):
            plan.keep.append(path)  # deleted here, or something else stands in its place
        else:
            plan.fetch[path] = (version, None)
    elif entry is None:
        if local.size == version.size and same(path, version):
            plan.adopt[path] = Entry(local, version)
        else:
            plan.keep.append(path)
    elif unchanged(path, local, entry, same):
        current = entry.remote is not None and entry.remote.is_now(version) and not entry.conflict
        if not current:
            plan.fetch[path] = (version, local)
        elif local != entry.local or version != entry.remote:
            plan.adopt[path] = Entry(local, version)
    else:
        plan.keep.append(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A local file to send. ``before`` is what is there under its name. ``conflict``: it goes beside that, not over;
    ``target``: under which name, if that is settled."""

    path: str
    local: Stamp
    before: Seen | None
    conflict: bool = False
    target: str = ""


@dataclass(slots=True)
class PushPlan:
    """``adopt``: the same on both sides already. ``delete``: at the remote. ``keep``: gone here, and to stay there.
    ``forget``: gone on both sides."""

    upload: list[Upload] = field(default_factory=list)
    adopt: dict[str, Entry] = field(default_factory=dict)
    delete: list[str] = field(default_factory=list)
    keep: list[str] = field(default_factory=list)
    forget: list[str] = field(default_factory=list)


def decide_push(
    entries: Mapping[str, Entry],
    here: Walk,
    there: Mapping[str, Seen],
    same: Same,
    *,
    deletes: bool,
    nameless: Callable[[str], bool] = lambda _: False,
) -> PushPlan:
    """What a push does. ``nameless`` says of which paths the remote cannot have a file now: these have gone up under
    another name."""
    plan = PushPlan()
    for path, local in here.files.items():
        _push_one(plan, path, local, entries.get(path), there.get(path), same, nameless)
    for path, entry in entries.items():
        if path in here.files or here.hides(path):
            continue
        version = there.get(path)
        if version is None:
            plan.forget.append(path)
        elif deletes and not entry.conflict and entry.remote is not None and entry.remote.is_now(version):
            plan.delete.append(path)
        else:
            plan.keep.append(path)
    return plan


def _push_one(
    plan: PushPlan,
    path: str,
    local: Stamp,
    entry: Entry | None,
    version: Seen | None,
    same: Same,
    nameless: Callable[[str], bool],
) -> None:
    if entry is not None and not (entry.conflict and version is None and not nameless(path)):
        if local == entry.local:
            return
        if unchanged(path, local, entry, same):
            plan.adopt[path] = entry._replace(local=local)
            return
    known = entry.remote if entry is not None else None
    if version is None or (known is not None and known.is_now(version)):
        plan.upload.append(Upload(path=path, local=local, before=version))
    elif local.size == version.size and same(path, version):
        plan.adopt[path] = Entry(local, version)
    else:
        plan.upload.append(Upload(path=path, local=local, before=version, conflict=True))


def unchanged(path: str, local: Stamp, entry: Entry, same: Same) -> bool:
    """Whether nobody wrote to a local file. When only its inode or change time moved (its rights were changed, it came
    back from a backup), its content decides, and where that cannot be told it counts as changed."""
    if local == entry.local:
        return True
    if local[:2] != entry.local[:2] or entry.remote is None or entry.conflict:
        return False
    return same(path, entry.remote)
