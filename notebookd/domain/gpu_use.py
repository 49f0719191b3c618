# SPDX-License-Identifier: Apache-2.0
"""What a run makes of its GPUs: utilisation integrated over time, memory and energy."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_GAP_S = 120.0
"""Over a longer gap between two samples nobody can say how busy a GPU was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UseSample:
    """One look at a GPU. ``utilisation`` is 0 to 1, ``energy_j`` counts up since the driver was loaded; None is not
    told."""

    memory_bytes: int
    utilisation: float | None = None
    energy_j: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuUse:
    """The use of one GPU over some time. ``busy_s`` of ``sampled_s`` seconds it worked; what was not sampled is
    unknown, not idle. ``peak_memory_bytes`` counts everybody's memory on that GPU."""

    sampled_s: float = 0.0
    busy_s: float = 0.0
    peak_utilisation: float = 0.0
    peak_memory_bytes: int = 0
    energy_j: float = 0.0

    def add(self, before: UseSample, after: UseSample, dt_s: float) -> GpuUse:
        """With the time between two samples, both taken while the run held the GPU."""
        told = [each.utilisation for each in (before, after) if each.utilisation is not None]
        covered = dt_s if told and 0 < dt_s <= LONGEST_GAP_S else 0.0
        mean = sum(told) / len(told) if told else 0.0
        return GpuUse(
            sampled_s=self.sampled_s + covered,
            busy_s=self.busy_s + covered * mean,
            peak_utilisation=max(self.peak_utilisation, *told) if told else self.peak_utilisation,
            peak_memory_bytes=max(self.peak_memory_bytes, before.memory_bytes, after.memory_bytes),
            energy_j=self.energy_j + _energy(before.energy_j, after.energy_j),
        )

    def plus(self, other: GpuUse) -> GpuUse:
        """Both together."""
        return GpuUse(
            sampled_s=self.sampled_s + other.sampled_s,
            busy_s=self.busy_s + other.busy_s,
            peak_utilisation=max(self.peak_utilisation, other.peak_utilisation),
            peak_memory_bytes=max(self.peak_memory_bytes, other.peak_memory_bytes),
            energy_j=self.energy_j + other.energy_j,
        )


def _energy(before: float | None, after: float | None) -> float:
    """Joules between two counts; a count that fell began anew with the driver, and counts from zero."""
    if before is None or after is None:
        return 0.0
    return after - before if after >= before else after
