# SPDX-License-Identifier: Apache-2.0
"""Amounts for people: money, hours, energy, shares."""

from __future__ import annotations

from notebookd import wire

__all__ = ["energy", "hours", "money", "share", "unbilled_seconds"]


def money(price: wire.Price) -> str:
    """``201.60 EUR``, rounded to the cent; what is less than one in full."""
    if 0 < price.micros < 10_000:
        return f"0.{price.micros:06}".rstrip("0") + f" {price.currency}"
    cents = (price.micros + 5_000) // 10_000
    return f"{cents // 100:,}.{cents % 100:02} {price.currency}"


def hours(seconds: float) -> str:
    """``72.0 h``, or minutes and seconds of what is less than an hour."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:,.1f} h"


def unbilled_seconds(row: wire.UsageRow) -> float:
    """How long GPUs were held beyond the minutes that are billed; 0 for less than a minute."""
    unbilled = row.leased_gpu_seconds - 60 * row.gpu_minutes.value
    return unbilled if unbilled >= 60 else 0.0


def share(part: float, whole: float) -> str:
    """``35%``."""
    return f"{100 * part / whole:.0f}%" if whole else "-"


def energy(joules: float) -> str:
    """``1.25 kWh``."""
    watt_hours = joules / 3600
    return f"{watt_hours:.0f} Wh" if watt_hours < 1000 else f"{watt_hours / 1000:,.2f} kWh"
