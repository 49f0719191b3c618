# SPDX-License-Identifier: Apache-2.0
"""How the reader has it shown: the order of the notebooks, what is looked for, whether what ails the daemon is open or
dismissed. Keys change it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from notebookd import wire

__all__ = ["SORTS", "View"]

_MOST_LETTERS = 40  # of what is looked for
_ESC = b"\x1b"
_ENTER, _BACK, _LEAVING = "\r\n", "\x7f\x08", "qQ\x03\x04"

SORTS = ("age", "cpu", "memory", "disk", "ends", "owner", "name")
"""What the notebooks are sorted by. The first is the longest standing first."""


@dataclass(slots=True)
class View:
    """What the keys have made of it so far."""

    sort: str = SORTS[0]
    backwards: bool = False
    wanted: str = ""
    """What is looked for in names, owners, states; empty shows all."""
    typing: bool = False
    opened: bool = False
    dismissed: frozenset[str] = frozenset()
    """What was dismissed; what ails the daemon otherwise is shown again."""
    ills: frozenset[str] = field(default=frozenset(), repr=False)
    """What was shown last as ailing it."""

    def press(self, keys: bytes) -> bool:
        """What keys do; whether they leave. An arrow begins as Esc does, and is none."""
        if keys[:1] == _ESC:
            leaves = keys == _ESC and not self.typing
            if keys == _ESC and self.typing:
                self.typing, self.wanted = False, ""
            return leaves
        for letter in keys.decode("utf-8", "ignore"):
            if self.typing:
                self._type(letter)
            elif letter in _LEAVING:
                return True
            else:
                self._press(letter)
        return False

    def _press(self, letter: str) -> None:
        acts: Mapping[str, Callable[[], None]] = {
            "s": lambda: self._sort(1),
            "S": lambda: self._sort(-1),
            "r": lambda: setattr(self, "backwards", not self.backwards),
            "/": lambda: setattr(self, "typing", not self.typing),
            "e": lambda: setattr(self, "opened", not self.opened),
            "x": self._dismiss,
        }
        acts.get(letter, lambda: None)()

    def _sort(self, step: int) -> None:
        self.sort = SORTS[(SORTS.index(self.sort) + step) % len(SORTS)]

    def _dismiss(self) -> None:
        self.dismissed, self.opened = self.ills, False

    def _type(self, letter: str) -> None:
        """A letter of what is looked for. Enter keeps it; Ctrl-C and Ctrl-D give it up, as Esc does."""
        if letter in _ENTER:
            self.typing = False
        elif letter in _BACK:
            self.wanted = self.wanted[:-1]
        elif letter in _LEAVING and not letter.isprintable():
            self.typing, self.wanted = False, ""
        elif letter.isprintable():
            self.wanted = (self.wanted + letter)[:_MOST_LETTERS]

    def shows(self, *words: str) -> bool:
        """Whether one of the words has what is looked for."""
        wanted = self.wanted.casefold()
        return not wanted or any(wanted in word.casefold() for word in words)

    def ailing(self, health: wire.Health) -> bool:
        """Whether what ails the daemon is to be shown: it is remembered, so that it can be dismissed."""
        self.ills = frozenset(
            f"{name}: {each.status}: {each.message or ''}"
            for name, each in health.dependencies.items()
            if each.status != "ok"
        )
        return bool(self.ills) and self.ills != self.dismissed

    @property
    def help(self) -> str:
        """The keys, in a line."""
        if self.typing:
            return f"/{self.wanted}_   Enter keeps it, Esc shows all"
        order = f"{self.sort}{', backwards' if self.backwards else ''}"
        found = f"/ filter: {self.wanted}" if self.wanted else "/ filter"
        ills = ["e close" if self.opened else "e what is wrong", "x dismiss it"] if self._has_news else []
        return "   ".join(["q quit", f"s sort: {order}", "r reverse", found, *ills])

    @property
    def _has_news(self) -> bool:
        return bool(self.ills) and self.ills != self.dismissed
