# SPDX-License-Identifier: Apache-2.0
"""The part of the store that keeps sums of the accounts by day (UTC), so that a report need not read all that was."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple, Protocol

from notebookd.domain.billing import Window
from notebookd.domain.usage import Cell, GroupKey


class Totals(NamedTuple):
    """Of all that is over: billed minutes, leased milliseconds, milliseconds that were sampled, and millijoules."""

    minutes: int
    leased_ms: int
    sampled_ms: int
    energy_mj: int


class SumReader(Protocol):
    """Reads of the sums. An ``owner`` of None is everybody."""

    def keeps_sums(self) -> bool:
        """Whether there are sums to go by; else reports must read what they are made from."""
        ...

    def list_sums(self, days: Window, keys: Collection[GroupKey], owner: str | None) -> Iterable[Cell]:
        """What closed stays, ended leases and hours of use come to in whole days. Each cell is of one group at least:
        its words are those of the keys, the others are empty. Days as edges where the keys have days, months where they
        have months; by GPU where they have GPUs."""
        ...

    def sum_totals(self) -> Totals:
        """What all sums come to."""
        ...

    def walk_totals(self) -> Totals:
        """The same by what they are made from. It looks through all of that."""
        ...


class SumWriter(Protocol):
    """What may be said of the sums, inside a transaction; what they are made from brings them up to date itself."""

    async def doubt_sums(self) -> None:
        """They are wrong: reports read everything from now on, and the next start makes them again."""
        ...
