# SPDX-License-Identifier: Apache-2.0
"""The steps of a start, in milliseconds and in shares of the whole."""

from __future__ import annotations

from notebookd import wire

__all__ = ["steps_of"]


def steps_of(timings: wire.Timings) -> str:
    """A table for people."""
    width = max((len(each.step) for each in timings.items), default=0)
    lines = [f"{'STEP'.ljust(width)}        MS  SHARE"]
    for each in timings.items[1:]:
        share = 100 * each.milliseconds / timings.total if timings.total else 0.0
        lines.append(f"{each.step.ljust(width)}  {each.milliseconds:8.1f}  {share:4.0f}%")
    lines.append(f"{'in all'.ljust(width)}  {timings.total:8.1f}")
    return "\n".join(lines)
