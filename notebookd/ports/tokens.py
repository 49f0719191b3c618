# SPDX-License-Identifier: Apache-2.0
"""The part of the store that keeps app tokens, and what their selectors ask of notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from notebookd.domain.ids import NotebookId, TokenId
from notebookd.domain.token import Token


class TokenReader(Protocol):
    """Reads of the app tokens."""

    def find_token(self, token_id: TokenId) -> Token | None:
        """An app token."""
        ...

    def list_tokens(self, owner: str | None, *, page: int, size: int) -> tuple[list[Token], int]:
        """A page (from 1) of an owner's tokens, of everybody's for None, oldest first; and how many there are."""
        ...

    def find_labels(self, notebook_id: NotebookId) -> Mapping[str, str] | None:
        """The labels of a notebook, also of a deleted one; None where there never was one."""
        ...


class TokenWriter(Protocol):
    """Writes of the app tokens."""

    async def put_token(self, token: Token) -> None:
        """Insert or update."""
        ...

    async def remove_token(self, token_id: TokenId) -> None:
        """Forget."""
        ...
