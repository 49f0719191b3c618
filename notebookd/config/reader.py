# SPDX-License-Identifier: Apache-2.0
"""Reading untrusted tables key by key, collecting every problem instead of stopping at the first.

A :class:`Table` hands out values by key and type. A wrong value is noted with its dotted key and replaced by the
default, so reading goes on and the person who wrote the file sees the whole list at once. Keys that nobody asked
for are unknown, and are noted when the table is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from notebookd.spelling import did_you_mean
from notebookd.times import parse_duration
from notebookd.units import parse_size

T = TypeVar("T")

_NAMES = {
    str: "text",
    int: "a whole number",
    float: "a fraction",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with a configuration. ``key`` is dotted, empty when the file as a whole is at fault."""

    file: str
    key: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        where = f"{self.key}: " if self.key else ""
        return f"{where}{self.message}" + (f" ({self.hint})" if self.hint else "")


class Table:
    """A table of the file being read, and where it stands in it."""

    def __init__(self, values: Mapping[str, Any], *, file: str, key: str, problems: list[Problem]) -> None:
        self._values = values
        self._file = file
        self._key = key
        self._problems = problems
        self._asked: list[str] = []

    def problem(self, key: str, message: str, hint: str | None = None) -> None:
        """Note a problem with a key of this table; with an empty key, with the table itself."""
        dotted = ".".join(part for part in (self._key, key) if part)
        self._problems.append(Problem(file=self._file, key=dotted, message=message, hint=hint))

    def keys(self) -> tuple[str, ...]:
        """The keys present."""
        return tuple(self._values)

    def has(self, key: str) -> bool:
        """Whether the key is present."""
        return key in self._values

    def take(self, key: str, kind: type[T], default: T) -> T:
        """The value of a key of exactly that type, else the default."""
        self._asked.append(key)
        if key not in self._values:
            return default
        value = self._values[key]
        if type(value) is not kind:
            self.problem(key, f"must be {_NAMES[kind]}, not {_NAMES.get(type(value), type(value).__name__)}")
            return default
        return value

    def text(self, key: str, default: str, parse: Callable[[str], str] | None = None) -> str:
        """A non-empty string, checked and shaped by ``parse`` (which raises ValueError)."""
        value = self.parsed(key, parse or str, default)
        if not value.strip() and self.has(key):
            self.problem(key, "must not be empty")
            return default
        return value

    def required(self, key: str, parse: Callable[[str], T], default: T) -> T:
        """Like :meth:`parsed`, for a key that must be there."""
        if not self.has(key):
            self._asked.append(key)
            self.problem(key, "is missing")
            return default
        return self.parsed(key, parse, default)

    def parsed(self, key: str, parse: Callable[[str], T], default: T) -> T:
        """A string turned into something by ``parse``, whose ValueError becomes a problem."""
        given = self.has(key)
        text = self.take(key, str, "")
        if not given or type(self._values[key]) is not str:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.problem(key, str(error))
            return default

    def choice(self, key: str, known: Sequence[str], default: str) -> str:
        """One of the known words."""
        value = self.take(key, str, default)
        if value not in known:
            self.problem(key, f"{value!r} is unknown", did_you_mean(value, known))
            return default
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        return self.take(key, bool, default)

    def integer(self, key: str, default: int, *, at_least: int = 0, at_most: int = 2**53) -> int:
        """A whole number within bounds."""
        value = self.take(key, int, default)
        if not at_least <= value <= at_most:
            self.problem(key, f"{value} is out of range: from {at_least} to {at_most}")
            return default
        return value

    def optional_integer(self, key: str, *, at_least: int = 0) -> int | None:
        """A whole number within bounds, None when absent."""
        value = self.integer(key, at_least, at_least=at_least)
        return value if self.has(key) else None

    def duration(self, key: str, default: str, *, at_least_s: float = 0.0) -> float:
        """Seconds, from ``10s 5m 2h 7d``."""
        seconds = self.parsed(key, parse_duration, parse_duration(default))
        if seconds < at_least_s:
            self.problem(key, f"is too short: at least {at_least_s:g}s")
            return parse_duration(default)
        return seconds

    def duration_or_off(self, key: str) -> float | None:
        """Seconds, or None for ``off`` (the default)."""
        return self.parsed(key, lambda text: None if text.strip() == "off" else parse_duration(text), None)

    def size(self, key: str, default: str) -> int:
        """Bytes, from ``256MiB``."""
        return self.parsed(key, parse_size, parse_size(default))

    def path(self, key: str, default: str | Path) -> Path:
        """An absolute path."""
        return self.parsed(key, absolute_path, Path(default))

    def strings(self, key: str, default: Sequence[str] = ()) -> tuple[str, ...]:
        """A list of non-empty strings, none twice."""
        values = self.take(key, list, list(default))
        good = []
        for position, value in enumerate(values):
            if type(value) is not str or not value.strip():
                self.problem(f"{key}[{position}]", "must be text that is not empty")
            elif value in good:
                self.problem(f"{key}[{position}]", f"{value!r} is there twice")
            else:
                good.append(value)
        return tuple(good)

    def strings_repeatable(self, key: str, default: Sequence[str] = ()) -> tuple[str, ...]:
        """A list of strings in which a word may come again, as in a command."""
        values = self.take(key, list, list(default))
        for position, value in enumerate(values):
            if type(value) is not str or "\0" in value:
                self.problem(f"{key}[{position}]", "must be text")
                return tuple(default)
        return tuple(values)

    @contextmanager
    def table(self, key: str) -> Iterator[Table]:
        """The table under a key, empty when absent; its unknown keys are noted at the end of the block."""
        inner: dict[str, Any] = self.take(key, dict, {})
        yield from self._opened(inner, key)

    @contextmanager
    def open_table(self, key: str) -> Iterator[Table]:
        """The table under a key whose keys are free to choose."""
        inner: dict[str, Any] = self.take(key, dict, {})
        yield Table(inner, file=self._file, key=self._join(key), problems=self._problems)

    def tables(self, key: str) -> Iterator[Table]:
        """Each table of an array of tables."""
        for position, value in enumerate(self.take(key, list, [])):
            if type(value) is not dict:
                self.problem(f"{key}[{position}]", "must be a table", f"write [[{key}]]")
                continue
            yield from self._opened(value, f"{key}[{position}]")

    def close(self) -> None:
        """Note every key that nobody asked for."""
        for key in self._values:
            if key not in self._asked:
                self.problem(key, "is not a known key", did_you_mean(key, sorted(set(self._asked))))

    def _opened(self, values: Mapping[str, Any], key: str) -> Iterator[Table]:
        table = Table(values, file=self._file, key=self._join(key), problems=self._problems)
        yield table
        table.close()

    def _join(self, key: str) -> str:
        return ".".join(part for part in (self._key, key) if part)


def absolute_path(text: str) -> Path:
    """A path that means the same wherever the daemon stands."""
    if "\0" in text:
        raise ValueError("a path has no NUL in it")
    path = Path(text)
    if not path.is_absolute():
        raise ValueError(f"{text!r} is not an absolute path")
    return path
