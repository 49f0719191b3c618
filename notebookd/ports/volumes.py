# SPDX-License-Identifier: Apache-2.0
"""The volumes port: folders of the host that are mounted into a notebook's container beside its workspace.

Implementation: :mod:`notebookd.adapters.volumes`, which needs nothing but folders, so that tests have it, too, on
folders of their own. ``tests/contract/test_volumes_contract.py`` says what it promises.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from notebookd.domain.attached import Attached
from notebookd.domain.ids import NotebookId
from notebookd.ports.engine import Mount


class Volumes(Protocol):
    """Volumes' folders. Every method may raise :class:`~notebookd.errors.VolumeFault`."""

    async def prepare(self, notebook_id: NotebookId, attached: Sequence[Attached], *, now: datetime) -> None:
        """Make what a container needs to find: scratch folders, empty; a shared copy counts as used ``now``.
        Idempotent."""
        ...

    async def mounts(self, notebook_id: NotebookId, attached: Sequence[Attached]) -> tuple[Mount, ...]:
        """What to mount where, as it is found now, each with the identity of what was found; no link below the
        datastore's own folder is followed. The account must be able to read it, and write to it where that is asked. A
        folder that does not answer in some seconds is a fault, too. Where one is mounted in the workspace there is a
        folder of the account's for it then."""
        ...

    async def discard(
        self, notebook_id: NotebookId, *, keep: Collection[str] | None = None, scratch: bool = False
    ) -> None:
        """Remove the folders of a notebook's volumes. With ``keep`` those of other ids, but no Git clone that could be
        written to: its commits and edits are nowhere else. With ``scratch`` the scratch folders alone. Idempotent."""
        ...

    async def sweep_cache(self, in_use: Collection[tuple[str, str]], *, unused_since: datetime) -> list[str]:
        """Remove shared copies that were used last before ``unused_since``, but none that is ``in_use`` (source as
        people write it, and version). Returns what was removed, in words."""
        ...
