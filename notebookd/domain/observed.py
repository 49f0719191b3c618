# SPDX-License-Identifier: Apache-2.0
"""What was seen. "I could not look" is a value of its own and never looks like absence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """Somebody looked and saw ``value`` (which may be None: seen to be absent)."""

    value: T


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody could look; nothing destructive follows from it."""

    reason: str


Seen: TypeAlias = Known[T] | Unknown
