# SPDX-License-Identifier: Apache-2.0
"""The names that a configuration gives and mentions. Every check raises ValueError with a reason fit to show."""

from __future__ import annotations

import re
from collections.abc import Callable

ACCOUNT = r"[^\0-\x20:\x7f](?:[^\0-\x1f:\x7f]{0,254}[^\0-\x20:\x7f])?"
"""The name of a user or a group of the machine. Names may have blanks, backslashes and ``@``, or be digits alone: what
passwd(5) cannot hold is no name, nor what begins or ends with a blank."""


def matching(pattern: str, what: str) -> Callable[[str], str]:
    """A check that a text is ``what`` the pattern describes, whole; it raises ValueError with that reason."""
    compiled = re.compile(pattern)

    def checked(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(f"{text!r} is not {what}")
        return text

    return checked


parse_name = matching(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", "a name: letters, digits, '-' and '_', up to 63 of them")
"""A name that the configuration gives to something."""
