# SPDX-License-Identifier: Apache-2.0
"""What an owner holds of GPUs, and what to stop for another notebook of theirs to start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A notebook that holds GPUs, and when they are back at the latest; None is for as long as its owner likes.
    ``ending``: it is on its way to stop."""

    name: str
    gpus: int
    back_at: datetime | None
    ending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnHold:
    """The notebooks of one owner that hold GPUs, and how many GPUs the owner may hold; None is no bound."""

    holders: Sequence[Holder]
    bound: int | None

    def excess(self, wanted: int) -> int:
        """GPUs to give back before ``wanted`` more may be held, those of notebooks that stop already not counted."""
        staying = sum(each.gpus for each in self.holders if not each.ending)
        return 0 if self.bound is None else max(0, staying + wanted - self.bound)


def to_stop(hold: OwnHold, wanted: int) -> list[Holder]:
    """The fewest notebooks whose stop lets ``wanted`` more GPUs be held: a single one where one is enough, and of those
    the one that holds least. Empty where none has to be stopped, or where stopping all is not enough."""
    excess = hold.excess(wanted)
    running = sorted((each for each in hold.holders if not each.ending), key=lambda each: each.gpus)
    enough = next((each for each in running if each.gpus >= excess), None)
    if not excess:
        return []
    if enough is not None:
        return [enough]
    chosen: list[Holder] = []
    for each in reversed(running):
        chosen.append(each)
        if sum(one.gpus for one in chosen) >= excess:
            return chosen
    return []


def hold_sentences(hold: OwnHold, wanted: int) -> list[str]:
    """What the owner's own notebooks hold, when it is back, and what to stop for ``wanted`` more GPUs."""
    if not hold.holders:
        return []
    held = ", ".join(_holder(each) for each in hold.holders)
    return [f"Its owner may hold {_gpus(hold.bound or 0)} at once, held by {held}.", *_advice(hold, wanted)]


def _holder(holder: Holder) -> str:
    gpus = _gpus(holder.gpus)
    if holder.ending:
        return f"{holder.name} ({gpus}, is stopping)"
    end = f"until {holder.back_at:%Y-%m-%d %H:%M} UTC at the latest" if holder.back_at else "without an end"
    return f"{holder.name} ({gpus}, {end})"


def _gpus(count: int) -> str:
    return f"{count} GPU{'s' * (count != 1)}"


def _advice(hold: OwnHold, wanted: int) -> Iterator[str]:
    chosen = to_stop(hold, wanted)
    commands = " and ".join(f"`notebookctl stop {each.name}`" for each in chosen)
    if commands:
        yield f"To start it sooner, stop what is not needed: {commands} {'is' if len(chosen) == 1 else 'are'} enough."
