# SPDX-License-Identifier: Apache-2.0
"""Whether somebody may have what they ask for: the one decision on creating, forking, starting, changing and restarting
a notebook.

Facts are gathered once, into a :class:`Standing`; the decision is pure. Its order is what a caller is told first: that
the disk is full before all (nothing can be done then), then whether the notebook exists for them, whether its state
allows it, whether its volumes and its flavor are theirs to have, what their quota says, and last whether flavor and
image are still there. What is asked for again and is so already (a start of what runs) is admitted, and nothing is to
be done.

Quotas do not bind admins. What is refused for good says so here; what is only late (other people's GPUs) is admitted,
and waits in the queue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from notebookd.config import CatalogueEntry
from notebookd.domain import advice
from notebookd.domain.actor import Actor
from notebookd.domain.datastores import Datastore, rights_faults
from notebookd.domain.entry import ACTIVE, STOPPED, Entry
from notebookd.domain.faults import invalid
from notebookd.domain.ids import NotebookId
from notebookd.domain.notebook import NotebookSpec, ResourceRequest
from notebookd.domain.patch import needs_stop
from notebookd.domain.plan import starts_again
from notebookd.domain.quota import QuotaRule
from notebookd.domain.resources import Flavor
from notebookd.domain.run import NotebookState
from notebookd.domain.spec import Fault, volume_field_faults
from notebookd.domain.token import labelled
from notebookd.errors import (
    Conflict,
    DirectoryUnavailable,
    Forbidden,
    GpusUnavailable,
    NotebookdError,
    NotFound,
    QuotaExceeded,
    StoreUnavailable,
)
from notebookd.units import readable_size

_S = NotebookState
UNPUSHED = f"its local copy holds what was not carried back: {advice.UNPUSHED.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """A new notebook of that specification; a fork of ``forked`` where it begins with a snapshot of so many bytes."""

    id: NotebookId
    spec: NotebookSpec
    forked: NotebookId | None = None
    snapshot_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A new run of a notebook; with ``discard`` data that was not carried back is given up."""

    id: NotebookId
    discard: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Another specification of a notebook."""

    id: NotebookId
    spec: NotebookSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """The container of a notebook started anew as it is."""

    id: NotebookId


Request = Create | Start | Update | Restart


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What is free on the disk, and what is kept free; ``free_inodes`` None is no bound."""

    free_bytes: int
    free_inodes: int | None = None
    kept_bytes: int = 0
    kept_inodes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The facts that a request is decided by. ``entry`` is the notebook asked about, None where there is none.

    ``quota`` is the rule for the actor, or why it is not known. ``spent_minutes`` are the actor's GPU minutes of this
    month, 0 where none matter; ``notebooks`` counts the actor's. ``namesake`` is the actor's notebook of the
    name that a new one is to have, and whether the actor may see it. ``workspace_bytes`` is what the workspace takes as
    far as it was measured, ``most_workspace_bytes`` what it may. ``flavor`` and ``image`` are those that the
    specification names, None where they are no more. ``stores`` are the datastores by alias. ``answer`` is the notebook
    that the request's idempotency key made before, or why the key cannot be used.
    """

    actor: Actor
    entry: Entry | None = None
    room: Room | None = None
    quota: QuotaRule | DirectoryUnavailable = field(default_factory=QuotaRule)
    spent_minutes: int = 0
    notebooks: int = 0
    namesake: tuple[NotebookId, bool] | None = None
    workspace_bytes: int = 0
    most_workspace_bytes: int | None = None
    flavor: Flavor | None = None
    image: CatalogueEntry | None = None
    stores: Mapping[str, Datastore] = field(default_factory=dict)
    answer: Entry | Conflict | None = None


class When(Enum):
    """When what is admitted is done."""

    NOW = "now"
    ALREADY = "already"
    """It is so; nothing is to be done."""
    STOPPED = "stopped"
    """When the run that still ends has ended."""


@dataclass(frozen=True, slots=True)
class MadeOf:
    """What a run is made of."""

    flavor: Flavor
    image: CatalogueEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """It may be done. ``spec`` is the specification that holds from then on, with the label of the actor's token;
    ``made_of`` is what the new run is made of, where there is to be one."""

    when: When = When.NOW
    spec: NotebookSpec | None = None
    made_of: MadeOf | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """It may not be done, and why."""

    fault: NotebookdError


class _Refused(Exception):
    def __init__(self, fault: NotebookdError) -> None:
        super().__init__(fault.message)
        self.fault = fault


def admit(request: Request, standing: Standing) -> Admitted | Refusal:
    """The decision."""
    try:
        match request:
            case Create():
                return _create(request, standing)
            case Start():
                return _start(request, standing)
            case Update():
                return _update(request, standing)
            case Restart():
                return _restart(request, standing)
    except _Refused as refused:
        return Refusal(fault=refused.fault)


def may_use(actor: Actor, flavor: Flavor) -> bool:
    """Whether a flavor is open to the actor. Every flavor is to admins."""
    return actor.admin or not flavor.groups or not actor.groups.isdisjoint(flavor.groups)


def offered_to(actor: Actor, flavors: Sequence[Flavor]) -> tuple[Flavor, ...]:
    """The flavors as they are chosen from for an actor who names none: those that are open to them come first, and one
    that is not is nobody's default."""
    ordered = sorted(flavors, key=lambda flavor: not may_use(actor, flavor))
    return tuple(replace(each, default=each.default and may_use(actor, each)) for each in ordered)


def visible(actor: Actor, entry: Entry | None, notebook_id: NotebookId, verb: str) -> Refusal | None:
    """Why a notebook is not there for an actor to ``verb``; None where it is. For tokens, what they do not pick is not
    there at all; a person is told that it is another's."""
    if entry is not None and actor.may_see(entry.notebook.owner, entry.notebook.spec.labels):
        return None
    if entry is None or actor.token is not None:
        return Refusal(fault=NotFound(f"cannot {verb} notebook {notebook_id}: there is none of that id"))
    return Refusal(fault=Forbidden(f"cannot {verb} notebook {notebook_id}: it is not yours"))


def not_in(verb: str, notebook_id: NotebookId, state: NotebookState, *, hint: str | None = None) -> Conflict:
    """That a notebook's state does not allow it."""
    if state is _S.STOPPING and hint is None:
        hint = advice.STOPPING.text
    return Conflict(f"cannot {verb} notebook {notebook_id}: it is {state}", hint=hint, details={"state": str(state)})


def no_room(room: Room, verb: str) -> StoreUnavailable | None:
    """Why nothing new may be begun on a disk that is nearly full; None where it may."""
    if room.free_bytes < room.kept_bytes:
        return StoreUnavailable(
            f"cannot {verb}: {readable_size(room.free_bytes)} of disk are free, less than the "
            f"{readable_size(room.kept_bytes)} that are kept",
            hint="free some disk space",
        )
    if room.free_inodes is not None and room.free_inodes < room.kept_inodes:
        return StoreUnavailable(
            f"cannot {verb}: {room.free_inodes} inodes of the disk are free, less than the {room.kept_inodes} that are "
            "kept: hardly a file more can be made",
            hint="remove files that nobody needs: `notebookctl rm NOTEBOOK:PATH`, `notebookctl delete`",
        )
    return None


def workspace_excess(used_bytes: int, most_bytes: int | None) -> str | None:
    """How a workspace takes more room than it may; None when it does not."""
    if most_bytes is None or used_bytes <= most_bytes:
        return None
    used, allowed = readable_size(used_bytes), readable_size(most_bytes)
    return f"its workspace takes {used}, more than the {allowed} that are allowed"


def _create(request: Create, standing: Standing) -> Admitted:
    what = "create the notebook"
    most = standing.most_workspace_bytes
    if request.forked is not None and most is not None and request.snapshot_bytes > most:
        used, allowed = readable_size(request.snapshot_bytes), readable_size(most)
        raise _Refused(
            QuotaExceeded(
                f"cannot fork notebook {request.forked}: the snapshot takes {used}, more than the {allowed} that are "
                "allowed",
                hint="fork an older one (`notebookctl snapshot list`), or ask an admin for a larger [workspace] quota",
            )
        )
    spec = _labelled(request.spec, standing.actor, what)
    _require_rights(spec, standing, what)
    if isinstance(standing.answer, Conflict):
        raise _Refused(standing.answer)
    if standing.answer is not None:
        return Admitted(when=When.ALREADY)
    _require_room(standing, what)
    _require_flavor(standing, what)
    _require_quota(spec.resources, standing, what)
    _require_another(standing, what)
    _require_name(spec.name, standing, what)
    return Admitted(spec=spec, made_of=_made_of(request.id, spec, standing))


def _start(request: Start, standing: Standing) -> Admitted:
    what = f"start notebook {request.id}"
    _require_room(standing, what)
    entry = _there(request.id, standing, "start")
    state = entry.state
    if state in ACTIVE or (state is _S.STOPPING and starts_again(entry.notebook, entry.run)):
        return Admitted(when=When.ALREADY)
    unpushed = state is _S.SYNC_FAILED
    if state not in STOPPED | {_S.STOPPING} or (unpushed and not request.discard):
        raise _Refused(not_in("start", request.id, state, hint=UNPUSHED if unpushed else None))
    _require_workspace(standing, what)
    spec = entry.notebook.spec
    if faults := _rights_faults(spec, standing):
        hint = (advice.WITHDRAWN if unpushed else advice.OTHER_VOLUMES).text
        raise _Refused(Conflict(invalid(what, faults).message, hint=hint))
    _require_flavor(standing, what)
    _require_quota(spec.resources, standing, what)
    if state is not _S.STOPPING and entry.run.holds:
        raise _Refused(
            GpusUnavailable(
                f"cannot start notebook {request.id}: nobody can see whether its last run has left its GPUs",
                hint="see `notebookctl why` and `notebookctl gpu`",
            )
        )
    when = When.STOPPED if state is _S.STOPPING else When.NOW
    return Admitted(when=when, spec=spec, made_of=_made_of(request.id, spec, standing))


def _update(request: Update, standing: Standing) -> Admitted:
    what = f"change notebook {request.id}"
    entry = _there(request.id, standing, "change")
    stored, state = entry.notebook.spec, entry.state
    spec = _labelled(request.spec, standing.actor, what)
    if state is _S.DELETING or (state not in STOPPED and needs_stop(stored, spec)):
        hint = "resources, variables, keys and access change only while it is stopped"
        raise _Refused(not_in("change", request.id, state, hint=hint))
    if spec.volumes != stored.volumes:
        if state is _S.SYNC_FAILED:
            raise _Refused(not_in("change the volumes of", request.id, state, hint=UNPUSHED))
        _require_rights(spec, standing, what)
    if spec.resources.flavor != stored.resources.flavor:
        _require_flavor(standing, what)
    _require_gpus(spec.resources, _rule(standing), what)
    return Admitted(spec=spec)


def _restart(request: Restart, standing: Standing) -> Admitted:
    entry = _there(request.id, standing, "restart")
    if entry.state is _S.RESTARTING:
        return Admitted(when=When.ALREADY)
    if entry.state is not _S.RUNNING:
        raise _Refused(not_in("restart", request.id, entry.state))
    return Admitted(spec=entry.notebook.spec)


def _there(notebook_id: NotebookId, standing: Standing, verb: str) -> Entry:
    refusal = visible(standing.actor, standing.entry, notebook_id, verb)
    if refusal is not None:
        raise _Refused(refusal.fault)
    assert standing.entry is not None
    return standing.entry


def _labelled(spec: NotebookSpec, actor: Actor, what: str) -> NotebookSpec:
    """The specification with the label that the actor's notebooks bear."""
    labels = labelled(spec.labels, actor.selector)
    if isinstance(labels, Fault):
        raise _Refused(invalid(what, [labels]))
    return replace(spec, labels=labels)


def _rights_faults(spec: NotebookSpec, standing: Standing) -> list[Fault]:
    return list(volume_field_faults(rights_faults(spec.volumes, standing.stores, standing.actor)))


def _require_rights(spec: NotebookSpec, standing: Standing, what: str) -> None:
    if faults := _rights_faults(spec, standing):
        raise _Refused(invalid(what, faults))


def _require_room(standing: Standing, what: str) -> None:
    fault = no_room(standing.room, what) if standing.room is not None else None
    if fault is not None:
        raise _Refused(fault)


def _require_flavor(standing: Standing, what: str) -> None:
    """A flavor may be for groups alone. Whoever starts the notebook is asked, not its owner: an admin may."""
    flavor = standing.flavor
    if flavor is None or may_use(standing.actor, flavor):
        return
    one = len(flavor.groups) == 1
    groups = f"group {flavor.groups[0]}" if one else f"the groups {', '.join(flavor.groups)}"
    raise _Refused(
        Forbidden(
            f"cannot {what}: flavor {flavor.id} is for members of {groups}",
            hint="choose another (`notebookctl capabilities flavor`), or ask an admin to add you",
        )
    )


def _rule(standing: Standing) -> QuotaRule:
    if isinstance(standing.quota, DirectoryUnavailable):
        raise _Refused(standing.quota)
    return standing.quota


def _require_gpus(resources: ResourceRequest, rule: QuotaRule, what: str) -> None:
    if fault := rule.request_fault(resources.units if resources.gpu else 0):
        hint = "ask for fewer GPUs, or an admin for a larger quota"
        raise _Refused(QuotaExceeded(f"cannot {what}: {fault}", hint=hint))


def _require_quota(resources: ResourceRequest, standing: Standing, what: str) -> None:
    rule = _rule(standing)
    _require_gpus(resources, rule, what)
    fault = rule.minutes_fault(standing.spent_minutes) if resources.gpu else None
    if fault:
        raise _Refused(QuotaExceeded(f"cannot {what}: {fault}", hint="ask for CPUs, or an admin for a larger quota"))


def _require_another(standing: Standing, what: str) -> None:
    if fault := _rule(standing).count_fault(standing.notebooks):
        raise _Refused(QuotaExceeded(f"cannot {what}: {fault}", hint="delete one that you no longer need"))


def _require_name(name: str, standing: Standing, what: str) -> None:
    if standing.namesake is not None:
        raise _Refused(name_taken(name, standing.actor.name, standing.namesake, what))


def name_taken(name: str, owner: str, namesake: tuple[NotebookId, bool], what: str) -> Conflict:
    """That an owner has a notebook of that name. Which one it is, is told to who may see it."""
    notebook_id, seen = namesake
    return Conflict(
        f"cannot {what}: {owner} has a notebook named {name}",
        hint="choose another name" + f", or use that one: `notebookctl start {name}`" * seen,
        details={"notebook": notebook_id} if seen else None,
    )


def _require_workspace(standing: Standing, what: str) -> None:
    if excess := workspace_excess(standing.workspace_bytes, standing.most_workspace_bytes):
        raise _Refused(
            QuotaExceeded(
                f"cannot {what}: {excess}",
                hint="remove what you do not need with `notebookctl rm NOTEBOOK:PATH` (`notebookctl cp` fetches it "
                "before), or ask an admin for a larger [workspace] quota",
            )
        )


def _made_of(notebook_id: NotebookId, spec: NotebookSpec, standing: Standing) -> MadeOf:
    """What the run is made of, which must still be there."""
    if standing.flavor is None:
        raise _Refused(
            Conflict(
                f"cannot start notebook {notebook_id}: there is no flavor {spec.resources.flavor} now",
                hint="change its resources with `notebookctl patch`",
            )
        )
    if standing.image is None:
        raise _Refused(
            Conflict(
                f"cannot start notebook {notebook_id}: {spec.editor} with {spec.framework} {spec.framework_version} "
                "is no longer in the catalogue",
                hint="its workspace is kept: `notebookctl cp` reads it; what there is: `notebookctl capabilities`",
            )
        )
    return MadeOf(standing.flavor, standing.image)
