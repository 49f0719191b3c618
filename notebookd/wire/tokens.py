# SPDX-License-Identifier: Apache-2.0
"""App tokens."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from notebookd.wire.answers import Metadata
from notebookd.wire.base import Answer, Request

__all__ = ["NewToken", "Token", "TokenList", "TokenSpec", "TokenStatus"]


class NewToken(Request, frozen=True):
    """Body of ``POST /v1/token``. ``role`` is ``ai_training_operator`` or ``ai_training_read``; ``labelSelector`` one
    label, ``name=value``: only notebooks that bear it exist for the token, and those that it makes get it."""

    name: str
    role: str
    label_selector: str | UnsetType | None = UNSET


class TokenSpec(Answer, frozen=True):
    """What a token was asked to be."""

    name: str
    role: str
    label_selector: str | UnsetType = UNSET


class TokenStatus(Answer, frozen=True):
    """``value`` is shown once: when the token is made or renewed. ``version`` counts its values."""

    version: int
    value: str | UnsetType = UNSET


class Token(Answer, frozen=True):
    """A token, and whom it acts for."""

    id: str
    created_at: str
    updated_at: str
    spec: TokenSpec
    status: TokenStatus
    user: str


class TokenList(Answer, frozen=True):
    """A page of tokens."""

    items: list[Token]
    metadata: Metadata
