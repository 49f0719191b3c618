# SPDX-License-Identifier: Apache-2.0
"""The app tokens in SQLite: see :mod:`notebookd.ports.tokens`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import msgspec

from notebookd.adapters.sqlite.records import millis
from notebookd.domain.ids import NotebookId, TokenId
from notebookd.domain.token import Token

_tokens = msgspec.json.Decoder(Token)
_labels = msgspec.json.Decoder(dict[str, str])


class TokenReads(ABC):
    """See :class:`~notebookd.ports.tokens.TokenReader`."""

    @abstractmethod
    def _rows(self, name: str, values: Any = ()) -> list[Any]: ...

    def find_token(self, token_id: TokenId) -> Token | None:
        """An app token."""
        return next((_tokens.decode(row[0]) for row in self._rows("token", (token_id,))), None)

    def list_tokens(self, owner: str | None, *, page: int, size: int) -> tuple[list[Token], int]:
        """A page and the total."""
        values = {"owner": owner, "limit": size, "offset": (page - 1) * size}
        total = int(self._rows("count_tokens", {"owner": owner})[0][0])
        return [_tokens.decode(row[0]) for row in self._rows("tokens", values)], total

    def find_labels(self, notebook_id: NotebookId) -> Mapping[str, str] | None:
        """The labels of a notebook."""
        return next((_labels.decode(row[0] or "{}") for row in self._rows("labels", (notebook_id,))), None)


class TokenWrites(ABC):
    """See :class:`~notebookd.ports.tokens.TokenWriter`."""

    @abstractmethod
    async def _run(self, query: str, /, **values: Any) -> None: ...

    async def put_token(self, token: Token) -> None:
        """Insert or update."""
        body = msgspec.json.encode(token).decode()
        await self._run("put_token", id=token.id, owner=token.owner, created_at=millis(token.created_at), body=body)

    async def remove_token(self, token_id: TokenId) -> None:
        """Forget."""
        await self._run("remove_token", id=token_id)
