# SPDX-License-Identifier: Apache-2.0
"""What an owner may hold."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import inf

from notebookd.config import Quota, QuotaOverride


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaRule:
    """Bounds for one owner; None is no bound. ``gpus`` counts those held at once, ``gpu_minutes_month`` the minutes of
    each GPU that commenced in the month (UTC), and those for which it was held without being billed."""

    gpus: int | None = None
    notebooks: int | None = None
    gpu_minutes_month: int | None = None

    def request_fault(self, gpus: int) -> str | None:
        """Why a notebook asking for ``gpus`` GPUs can never run under this rule."""
        if self.gpus is not None and gpus > self.gpus:
            return f"it asks for {gpus} GPUs, the quota is {self.gpus}"
        return None

    def count_fault(self, notebooks: int) -> str | None:
        """Why an owner of ``notebooks`` notebooks may not make another."""
        if self.notebooks is not None and notebooks >= self.notebooks:
            return f"there are {notebooks} notebooks, the quota is {self.notebooks}"
        return None

    def minutes_fault(self, spent: int) -> str | None:
        """Why an owner who has spent so many GPU minutes this month may not start on GPUs."""
        if self.gpu_minutes_month is not None and spent >= self.gpu_minutes_month:
            return f"{spent} GPU minutes of this month are spent, the quota is {self.gpu_minutes_month}"
        return None

    def capped(self, gpus: int) -> int:
        """GPUs that may be held at once of ``gpus`` there are."""
        return gpus if self.gpus is None else min(self.gpus, gpus)


UNBOUND = QuotaRule()

QuotaBook = Callable[[str], QuotaRule]
"""The rule for an owner's name. Raises DirectoryUnavailable where it depends on groups that are not known."""


def rule_of(quota: Quota, owner: str, groups: Collection[str]) -> QuotaRule:
    """What binds an owner who is in these groups: for each bound what is said of the owner, else the most that one of
    the groups gives, else what holds for everybody."""
    own, rest = quota.users.get(owner, QuotaOverride()), quota.default
    theirs = [quota.groups[name] for name in groups if name in quota.groups]
    return QuotaRule(
        gpus=_ruling(own.gpus, [each.gpus for each in theirs], rest.gpus),
        notebooks=_ruling(own.notebooks, [each.notebooks for each in theirs], rest.notebooks),
        gpu_minutes_month=_ruling(
            _unless_zero(own.gpu_minutes_month),
            [_unless_zero(each.gpu_minutes_month) for each in theirs],
            _unless_zero(rest.gpu_minutes_month),
        ),
    )


def _unless_zero(minutes: int | None) -> float | None:
    """Minutes of a month, of which 0 is no bound."""
    return inf if minutes == 0 else minutes


def _ruling(own: float | None, of_groups: list[float | None], rest: float | None) -> int | None:
    given = [each for each in of_groups if each is not None]
    bound = own if own is not None else max(given) if given else rest
    return None if bound is None or bound == inf else int(bound)
