# SPDX-License-Identifier: Apache-2.0
"""What a client raises. A refusal has a class of its own for each code, so that a script can catch what it expects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "BadAnswer",
    "ClientError",
    "Conflict",
    "EngineUnavailable",
    "Forbidden",
    "GpusUnavailable",
    "InternalError",
    "InvalidRequest",
    "NotFound",
    "PreconditionFailed",
    "QuotaExceeded",
    "Refused",
    "StoreUnavailable",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "Unreachable",
    "refused",
]


class ClientError(Exception):
    """Root of what a client raises; ``hint`` says what to do about it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Unreachable(ClientError):
    """The daemon did not answer: what was asked may or may not have happened."""


class BadAnswer(ClientError):
    """What answered does not speak like notebookd."""


class Refused(ClientError):
    """The daemon answered no, and nothing was changed. ``code`` is stable, ``details`` its data. A code that this
    client does not know yet raises this class itself."""

    def __init__(
        self, *, status: int, code: str, message: str, hint: str | None = None, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.details = dict(details or {})


class InvalidRequest(Refused):
    """The request is at fault (400)."""

    @property
    def faults(self) -> dict[str, str]:
        """Everything that is wrong with it, by JSON path."""
        return {each["path"]: each["message"] for each in self.details.get("faults", ())}


class Unauthenticated(Refused):
    """Nobody can be made of the caller: a token that is none, or none any more (401)."""


class QuotaExceeded(Refused):
    """A quota does not allow it (402)."""


class Forbidden(Refused):
    """The caller may not do this (403)."""


class NotFound(Refused):
    """There is no such thing, or it is not the caller's to know (404)."""


class Conflict(Refused):
    """The present state does not allow it (409)."""


class PreconditionFailed(Refused):
    """It changed since its ETag was seen (412): read it again, and decide again."""


class TooLarge(Refused):
    """The body is too large (413)."""


class Unavailable(Refused):
    """Something that the daemon stands on is away (503): ask again later."""


class EngineUnavailable(Unavailable):
    """The container engine does not answer."""


class GpusUnavailable(Unavailable):
    """The GPU driver cannot be asked."""


class StoreUnavailable(Unavailable):
    """The database cannot be read or written."""


class InternalError(Refused):
    """A fault of notebookd's own (500); ``details["id"]`` is in its log."""


_BY_CODE: Mapping[str, type[Refused]] = {
    "invalid-request": InvalidRequest,
    "unauthenticated": Unauthenticated,
    "quota-exceeded": QuotaExceeded,
    "forbidden": Forbidden,
    "not-found": NotFound,
    "conflict": Conflict,
    "precondition-failed": PreconditionFailed,
    "too-large": TooLarge,
    "engine-unavailable": EngineUnavailable,
    "gpus-unavailable": GpusUnavailable,
    "store-unavailable": StoreUnavailable,
    "internal-error": InternalError,
}


def refused(
    status: int, code: str, message: str, *, hint: str | None = None, details: Mapping[str, Any] | None = None
) -> Refused:
    """The refusal that a code stands for."""
    kind = _BY_CODE.get(code, Unavailable if status == 503 else Refused)
    return kind(status=status, code=code, message=message, hint=hint, details=details)
