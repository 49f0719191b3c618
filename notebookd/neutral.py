# SPDX-License-Identifier: Apache-2.0
r"""Text that others wrote, made harmless for a terminal and for a line of a log: shown, not obeyed."""

from __future__ import annotations

import re

__all__ = ["BIDI", "STEERING", "is_one_line", "neutral", "one_line"]

BIDI = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""What turns the direction of writing, so that a line looks like another one."""
STEERING = rf"\x00-\x1f\x7f-\x9f\u2028\u2029{BIDI}"
"""What a terminal obeys, or what ends a line, as the inside of a regular expression's set, here or in a JSON schema."""
_STEERING = re.compile(rf"(?![\t\n])[{STEERING}]")
_ENDS_OR_STEERS = re.compile(f"[{STEERING}]")
_LINE_END = re.compile("\r+\n")


def neutral(text: str) -> str:
    r"""The text with everything shown that a terminal would obey, but for line ends and tabs: ``^[`` or ``\u202e``.
    What JSON may hold is written as JSON escapes it, so that it stays the same JSON."""
    return _STEERING.sub(_shown, _LINE_END.sub("\n", text))


def one_line(text: str) -> str:
    """The same in one line: a line end is shown as well, so that no text begins a line of its own."""
    return neutral(text).replace("\n", "^J")


def is_one_line(text: str) -> bool:
    """Whether the text can be shown as it is, in a line."""
    return not _ENDS_OR_STEERS.search(text)


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"^{chr(code + 64)}" if code < 0x20 else f"\\u{code:04x}"
