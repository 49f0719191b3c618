# SPDX-License-Identifier: Apache-2.0
"""Sizes and prices as people write them; durations and times are in :mod:`notebookd.times`. Every parser raises
ValueError with a reason fit to show."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

SIZE_UNITS = {
    "B": 1,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "TiB": 1024**4,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
}
LARGEST_SIZE = 2**62

_SIZE = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,3})?) ?([A-Za-z]+)")


def parse_size(text: str) -> int:
    """Bytes in a size such as ``256MiB``, ``10GiB``, ``1.5TiB`` or ``500MB``."""
    matched = _SIZE.fullmatch(text.strip())
    unit = SIZE_UNITS.get(matched.group(2)) if matched else None
    if matched is None or unit is None:
        raise ValueError(f"{text!r} is not a size: write a number and a unit, as in 256MiB or 10GiB")
    size = int(Decimal(matched.group(1)) * unit)
    if size > LARGEST_SIZE:
        raise ValueError(f"{text!r} is too large: the most is {format_size(LARGEST_SIZE)}")
    return size


def format_size(size_bytes: int) -> str:
    """The size exactly, as :func:`parse_size` reads it, in the largest binary unit that divides it."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size_bytes and size_bytes % SIZE_UNITS[unit] == 0:
            return f"{size_bytes // SIZE_UNITS[unit]}{unit}"
    return f"{size_bytes}B"


def readable_size(size_bytes: int) -> str:
    """The size for people, rounded: ``80.0 GiB``. The movers, which stand alone, write it likewise."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def parse_price(text: str) -> int:
    """Integer micro-units in a price such as ``2.80``: money is never a float."""
    try:
        price = Decimal(text.strip())
    except InvalidOperation:
        price = Decimal("NaN")
    if not price.is_finite() or price.is_signed() or price > 1_000_000:
        raise ValueError(f'{text!r} is not a price: write a decimal number of units, as in "2.80"')
    micros = price * 1_000_000
    if micros != micros.to_integral_value():
        raise ValueError(f"{text!r} is too fine a price: at most six decimals")
    return int(micros)
