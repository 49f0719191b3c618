# SPDX-License-Identifier: Apache-2.0
"""What the daemon answers about usage and money. Money is whole micro-units of a currency; nothing here is null."""

from __future__ import annotations

from msgspec import UNSET, UnsetType, field

from notebookd.wire.base import Answer, JobStateName, Time, Uuid

__all__ = [
    "LABEL",
    "Ending",
    "Minutes",
    "Price",
    "Receipt",
    "ReceiptGpu",
    "ReceiptStay",
    "Usage",
    "UsageRow",
    "group_word",
]


class Minutes(Answer, frozen=True):
    """An amount of minutes; ``unit`` is ``Minute``."""

    unit: str
    value: int


class Price(Answer, frozen=True):
    """An amount of money: 2.80 EUR are 2800000 ``micros``."""

    currency: str
    micros: int


class UsageRow(Answer, frozen=True):
    """A group of a report with the keys that it was grouped by, or the total, which has none.

    ``minutes`` are those of notebooks, ``gpu_minutes`` the same for each GPU. Leased is from grant to release; used is
    utilisation integrated over time, left out where nobody could look. ``labels`` has the values of the labels that it
    was grouped by, without those that notebooks of the group have not. ``price`` is left out where no rate is set,
    ``other_prices`` unless the currency was changed. Memory is in bytes."""

    minutes: Minutes
    gpu_minutes: Minutes
    leased_gpu_seconds: float
    user: str | UnsetType = UNSET
    notebook: Uuid | UnsetType = UNSET
    name: str | UnsetType = UNSET
    flavor: str | UnsetType = UNSET
    gpu: str | UnsetType = UNSET
    day: str | UnsetType = UNSET
    month: str | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET
    used_gpu_seconds: float | UnsetType = UNSET
    energy_joules: float | UnsetType = UNSET
    peak_gpu_memory: int | UnsetType = UNSET
    price: Price | UnsetType = UNSET
    other_prices: list[Price] | UnsetType = UNSET


LABEL = "label:"
"""What stands before a label's name among the keys of a report."""
_NO_LABEL = "(none)"


def group_word(row: UsageRow, key: str) -> str:
    """What a row says in words of a key that it was grouped by: empty where that is not known, and ``(none)`` of a
    label that it has not."""
    if key.startswith(LABEL):
        return (row.labels or {}).get(key.removeprefix(LABEL), _NO_LABEL)
    return str(getattr(row, key) or "")


class Usage(Answer, frozen=True):
    """A report of the time from ``from`` up to and not including ``to``."""

    from_: Time = field(name="from")
    to: Time
    group_by: list[str]
    items: list[UsageRow]
    totals: UsageRow


class ReceiptStay(Answer, frozen=True):
    """A stay in a billed state. ``ended_at`` is left out while it goes on; ``rate`` is for a unit and an hour."""

    state: JobStateName
    started_at: Time
    seconds: float
    minutes: Minutes
    ended_at: Time | UnsetType = UNSET
    rate: Price | UnsetType = UNSET
    price: Price | UnsetType = UNSET


class ReceiptGpu(Answer, frozen=True):
    """What a run had of a GPU; utilisation in percent, memory (everybody's on it) in bytes."""

    uuid: str
    leased_seconds: float
    used_seconds: float | UnsetType = UNSET
    peak_utilisation: int | UnsetType = UNSET
    peak_memory: int | UnsetType = UNSET
    energy_joules: float | UnsetType = UNSET


class Ending(Answer, frozen=True):
    """What ended a run: the final state, a code, a sentence, who or what wrote it."""

    state: JobStateName
    code: str
    message: str
    actor: str
    exit_code: int | UnsetType = UNSET


class Receipt(Answer, frozen=True):
    """The bill of one run. ``open`` while a stay of it goes on; ``ended`` is left out until something ended it."""

    notebook: Uuid
    name: str
    user: str
    run: int
    state: JobStateName
    flavor: str
    units: int
    open: bool
    queued_at: Time
    stays: list[ReceiptStay]
    gpus: list[ReceiptGpu]
    totals: UsageRow
    ended: Ending | UnsetType = UNSET
