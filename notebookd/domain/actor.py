# SPDX-License-Identifier: Apache-2.0
"""Who asks: made once at the edge and handed inward."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What an actor may do, in the words of the OVHcloud AI API."""

    ADMIN = "administrator"
    OPERATOR = "ai_training_operator"
    READER = "ai_training_read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A caller with a name and a role. ``groups`` are the names of its groups on this machine."""

    name: str
    role: Role
    groups: frozenset[str] = frozenset()

    @property
    def admin(self) -> bool:
        """Whether everything on this machine is theirs to operate."""
        return self.role is Role.ADMIN

    def may_operate(self, owner: str) -> bool:
        """Whether a notebook of ``owner`` is theirs to see and to change."""
        return self.admin or self.name == owner
