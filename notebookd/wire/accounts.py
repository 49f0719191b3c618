# SPDX-License-Identifier: Apache-2.0
"""Owners, and what goes from one to another."""

from __future__ import annotations

from msgspec import UNSET, UnsetType, field

from notebookd.wire.base import Answer, Request

__all__ = ["Chown", "DiskRow", "DiskUsage", "Handover"]


class Chown(Request, frozen=True):
    """Body of ``POST /v1/account/chown``: whose notebooks go to whom. The same name twice gives what an earlier account
    of that name left to the present one."""

    from_: str = field(name="from")
    to: str


class Handover(Answer, frozen=True):
    """What went from one owner to another: so many notebooks, and so many tokens that ended. ``uid`` is the new
    owner's."""

    from_: str = field(name="from")
    to: str
    uid: int
    notebooks: int
    tokens: int


class DiskRow(Answer, frozen=True):
    """A notebook and the bytes that its workspace took when it was measured; without these two it never was.
    ``snapshots`` counts those that are kept."""

    notebook: str
    name: str
    owner: str
    state: str
    snapshots: int
    used: int | UnsetType = UNSET
    measured_at: str | UnsetType = UNSET


class DiskUsage(Answer, frozen=True):
    """Who fills the disk, the fullest workspace first. ``total`` is the sum of what was measured, ``free`` what is left
    on the disk that holds the state, in bytes."""

    items: list[DiskRow]
    total: int
    free: int
