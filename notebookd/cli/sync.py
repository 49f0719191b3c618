# SPDX-License-Identifier: Apache-2.0
"""What ``push-data`` and ``pull-data`` have in common."""

from __future__ import annotations

from typing import Literal

from notebookd import wire
from notebookd.cli.here import Here
from notebookd.cli.naming import notebook_id
from notebookd.cli.output import Table, clean, emit
from notebookd.cli.transfers import reason, word
from notebookd.cli.waiting import wait_for_sync

__all__ = ["transfer"]

COLUMNS = ("VOLUME", "STATE", "FILES", "BYTES", "DELETED", "SKIPPED", "FAILED", "INFO")


def transfer(
    here: Here, notebook: str, direction: Literal["pull", "push"], volume: str | None, *, wait: bool, output: str
) -> None:
    """Ask for a transfer, and stay until it is over if that is wished for."""
    identity = notebook_id(here, notebook)
    begun = here.terminal.now()
    reply = here.client.sync_data(identity, direction, volume)
    sync, body = reply.value, reply.body
    if wait:
        sync = wait_for_sync(here, identity, sync.id, begun)
        body = wire.encode(sync)
    rows = sync.status.progress or []
    if output == "table":
        if not wait:
            here.terminal.note(clean(f"{word(sync)}: {reason(sync)}"))
        return
    emit(output, body, Table(COLUMNS, [_row(row) for row in rows]))


def _row(row: wire.DataSyncProgress) -> tuple[str, ...]:
    volume = row.notebook_volume.mount_path if row.notebook_volume else row.info or ""
    counts = (row.processed, row.transferred_bytes, row.deleted, row.skipped, row.failed)
    return (volume, row.state, *(str(each or 0) for each in counts), row.reason.message if row.reason else "")
