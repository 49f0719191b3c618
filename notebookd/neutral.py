# SPDX-License-Identifier: Apache-2.0
r"""Text that others wrote, made harmless for a terminal and for a line of a log: shown, not obeyed."""

from __future__ import annotations

import re

__all__ = ["BIDI", "neutral", "one_line"]

BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""What turns the direction of writing, so that a line looks like another one."""
_STEERING = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029{BIDI}]")
_LINE_END = re.compile("\r+\n")


def neutral(text: str) -> str:
    r"""The text with everything shown that a terminal would obey, but for line ends and tabs: ``^[`` or ``\u202e``.
    What JSON may hold is written as JSON escapes it, so that it stays the same JSON."""
    return _STEERING.sub(_shown, _LINE_END.sub("\n", text))


def one_line(text: str) -> str:
    """The same in one line: a line end is shown as well, so that no text begins a line of its own."""
    return neutral(text).replace("\n", "^J")


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"^{chr(code + 64)}" if code < 0x20 else f"\\u{code:04x}"
