# SPDX-License-Identifier: Apache-2.0
"""What somebody meant who wrote a word that is not known."""

from __future__ import annotations

from collections.abc import Sequence


def did_you_mean(word: str, known: Sequence[str]) -> str | None:
    """A hint naming the nearest of the known words, or listing them when none is near and they are few."""
    listed = f"known: {', '.join(known)}" if known and len(known) <= 12 else None
    return did_you_misspell(word, known) or listed


def did_you_misspell(word: str, known: Sequence[str]) -> str | None:
    """A hint naming the nearest of the known words, if one is near."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else None
