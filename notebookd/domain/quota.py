# SPDX-License-Identifier: Apache-2.0
"""What an owner may hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaRule:
    """Bounds for one owner; None is no bound. ``gpus`` counts those held at once, ``gpu_minutes_month`` the minutes of
    each GPU that commenced in the month (UTC)."""

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
