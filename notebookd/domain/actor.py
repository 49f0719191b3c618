# SPDX-License-Identifier: Apache-2.0
"""Who asks: made once at the edge and handed inward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from notebookd.domain.token import LabelSelector, Token


class Role(StrEnum):
    """What an actor may do, in the words of the OVHcloud AI API."""

    ADMIN = "administrator"
    OPERATOR = "ai_training_operator"
    READER = "ai_training_read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A caller with a name and a role. ``groups`` are the names of its groups on this machine.

    Behind an app token stands the person who made it: the actor bears that person's name, holds and pays as that
    person, but is never an admin, and only notebooks that the token's selector picks exist for it.
    """

    name: str
    role: Role
    groups: frozenset[str] = frozenset()
    token: Token | None = None

    @property
    def admin(self) -> bool:
        """Whether everything on this machine is theirs to operate."""
        return self.role is Role.ADMIN

    @property
    def reads_only(self) -> bool:
        """Whether nothing on this machine is theirs to change."""
        return self.role is Role.READER

    @property
    def selector(self) -> LabelSelector | None:
        """What picks the notebooks that exist for them; None picks all of their own."""
        return self.token.selector if self.token else None

    @property
    def signature(self) -> str:
        """How the record names them: a token beside the person it acts for."""
        return f"{self.name} (token {self.token.name})" if self.token else self.name

    @property
    def namespace(self) -> str:
        """What their idempotency keys are kept under. A token's are its own: it could learn of others by them."""
        return f"{self.name} token {self.token.id}" if self.token else self.name

    def may_see(self, owner: str, labels: Mapping[str, str]) -> bool:
        """Whether a notebook of that owner and with these labels exists for them, to see and, by role, to change."""
        if self.selector is not None and not self.selector.picks(labels):
            return False
        return self.admin or self.name == owner
