# SPDX-License-Identifier: Apache-2.0
"""Whose the other end of a connection is. Pure.

A browser sends a cookie to every port of its host name. So another user of this machine can be sent a session that is
not theirs, by a page that they serve on a port of their own. A session is therefore good only for the account that
began it. The kernel knows the account: a connection over the loopback has both its ends on this machine, and each
socket belongs to a uid. That holds through ``ssh -L`` as well, where sshd connects as the user who logged in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["ELSEWHERE", "PROXY", "ROOT", "UNKNOWN", "Account", "Nowhere", "Peer", "counted"]

ROOT: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A connection from this machine, made by an account of this uid."""

    uid: int

    def __str__(self) -> str:
        return f"uid {self.uid}"


@dataclass(frozen=True, slots=True)
class Nowhere:
    """A connection whose account says nothing about the person behind it, and why."""

    why: str

    def __str__(self) -> str:
        return self.why


PROXY: Final = Nowhere("a trusted proxy")
"""A reverse proxy that the admin trusts. It carries many people."""
ELSEWHERE: Final = Nowhere("another machine")
UNKNOWN: Final = Nowhere("an account that cannot be told")
"""It comes from this machine, and the kernel does not say whose it is."""

Peer = Account | Nowhere


def counted(peer: Peer) -> int | None:
    """The account whose connections are counted; None for those that may carry many people, and for root."""
    return peer.uid if isinstance(peer, Account) and peer.uid != ROOT else None
