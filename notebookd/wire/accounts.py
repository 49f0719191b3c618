# SPDX-License-Identifier: Apache-2.0
"""Owners, and what goes from one to another."""

from __future__ import annotations

from msgspec import field

from notebookd.wire.base import Answer, Request

__all__ = ["Chown", "Handover"]


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
