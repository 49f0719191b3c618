# SPDX-License-Identifier: Apache-2.0
"""Compute as it is given to a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Compute that a run holds: ``units`` of a flavor, and what they amount to."""

    flavor: str
    units: int
    gpu: bool
    cpus: int
    memory_bytes: int
    gpu_model: str | None = None
    gpu_memory_bytes: int | None = None
    shm_bytes: int | None = None
    """The size of /dev/shm where the flavor says one."""

    @property
    def gpus(self) -> int:
        """GPUs held; 0 for a CPU flavor."""
        return self.units if self.gpu else 0
