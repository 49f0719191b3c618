# SPDX-License-Identifier: Apache-2.0
"""Transfers of data that a person asks for, and how all of a notebook's stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from notebookd.domain import advice
from notebookd.domain.actor import Actor
from notebookd.domain.attached import Attached
from notebookd.domain.data_plan import new_sync
from notebookd.domain.entry import Entry
from notebookd.domain.faults import invalid
from notebookd.domain.ids import NotebookId
from notebookd.domain.run import NotebookState
from notebookd.domain.spec import Fault
from notebookd.domain.syncing import Sync, SyncCause, SyncKind
from notebookd.errors import Conflict
from notebookd.machine.transfers import Transfers
from notebookd.ports.clock import Clock
from notebookd.ports.store import Store
from notebookd.record.syncs import write_sync
from notebookd.service.notebooks import Notebooks

_MOVING = frozenset({NotebookState.RUNNING, NotebookState.SYNC_FAILED})
SHOWN = 20
_HINTS = {
    NotebookState.SYNC_FAILED: f"what was not carried back would be in its way: {advice.UNPUSHED.text}",
    NotebookState.STOPPING: advice.STOPPING.text,
} | dict.fromkeys(advice.RUNNING_ONLY.given_in, advice.RUNNING_ONLY.text)


class Syncs:
    """Pushes and pulls on demand."""

    def __init__(
        self, store: Store, clock: Clock, notebooks: Notebooks, transfers: Transfers, wake: Callable[[str], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._notebooks = notebooks
        self._transfers = transfers
        self._wake = wake

    def list(self, notebook_id: NotebookId) -> list[Sync]:
        """A notebook's transfers of volumes, newest first, with how far those under way are."""
        found = self._store.list_syncs(notebook_id, limit=SHOWN)
        return [self._transfers.live(each) for each in found]

    async def request(self, actor: Actor, notebook_id: NotebookId, direction: str, volume: str | None) -> Sync:
        """Have a notebook's volumes, or the one of that id or mount path, pulled or pushed. A pull is for a running
        notebook, a push for one whose last push failed, too. One that is asked for again while it waits or is at work
        is that one."""
        kind = SyncKind(direction)
        what = f"{direction} the data of notebook {notebook_id}"
        async with self._store.transaction() as tx:
            entry = self._notebooks.get(actor, notebook_id, f"{direction} the data of")
            self._require_state(entry, kind, what)
            volumes = _chosen(entry, kind, volume, what)
            others = self._transfers.list_syncs(entry.run)
            under_way = next((each for each in others if _same(each, kind, volumes)), None)
            if under_way is not None:
                return self._transfers.live(under_way)
            now = self._clock.now()
            sync = new_sync(entry.run, kind, SyncCause.MANUAL, volumes, others, now, actor=actor.signature)
            await write_sync(tx, self._store, sync, entry.notebook, at=now)
        self._wake(notebook_id)
        return sync

    def _require_state(self, entry: Entry, kind: SyncKind, what: str) -> None:
        state = entry.state
        if state not in _MOVING or (kind is SyncKind.PULL and state is not NotebookState.RUNNING):
            raise Conflict(
                f"cannot {what}: it is {state}",
                hint=_HINTS.get(state),
                details={"state": str(state)},
            )


def _chosen(entry: Entry, kind: SyncKind, volume: str | None, what: str) -> Sequence[Attached]:
    moved = [each for each in entry.run.volumes if (each.place.pulled if kind is SyncKind.PULL else each.pushable)]
    if volume is not None:
        path = volume.rstrip("/")
        named = [each for each in entry.run.volumes if path in {each.id, each.volume.mount_path}]
        if not named:
            raise invalid(what, [Fault("$.volume", f"it has no volume {volume}")])
        if named[0] not in moved:
            raise invalid(what, [Fault("$.volume", f"nothing of {named[0].volume} is to be {kind}ed")])
        return named
    if not moved:
        raise Conflict(f"cannot {what}: it has no volume that is to be {kind}ed")
    return moved


def _same(sync: Sync, kind: SyncKind, volumes: Sequence[Attached]) -> bool:
    ids = {each.id for each in volumes}
    return not sync.over and sync.kind is kind and {each.volume_id for each in sync.transfers} == ids
