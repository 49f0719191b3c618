# SPDX-License-Identifier: Apache-2.0
"""What those who wait for a GPU read of the ones that are drained."""

from __future__ import annotations

import pytest

from notebookd.domain.gpu import GpuUnit
from notebookd.service.machine import drained_words


def unit(index: int, reason: str | None, model: str = "A") -> GpuUnit:
    """A GPU, drained for a reason; None: not drained."""
    return GpuUnit(
        uuid=f"GPU-{index}",
        index=index,
        model=model,
        memory_bytes=1,
        drained=reason is not None,
        drain_reason=reason or "",
    )


@pytest.mark.parametrize(
    ("units", "said"),
    [
        ([unit(0, None), unit(1, "fans", "B")], ""),
        ([unit(0, ""), unit(1, None)], " (1 is drained)"),
        ([unit(0, "fans"), unit(1, ""), unit(2, "fans")], " (3 are drained: fans)"),
        ([unit(0, "fans"), unit(1, "riser")], " (2 are drained: fans; riser)"),
    ],
)
def test_each_reason_is_said_once(units: list[GpuUnit], said: str) -> None:
    assert drained_words(units, "A") == said


def test_who_waits_for_cpus_is_told_nothing_of_gpus() -> None:
    assert drained_words([unit(0, "fans")], None) == ""
