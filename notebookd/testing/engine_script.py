# SPDX-License-Identifier: Apache-2.0
"""What the containers of :class:`~notebookd.testing.engine.FakeEngine` "run": a shell of eight words.

``sh -c`` with ``echo`` (also ``>&2``), ``printf``, ``exit N``, ``sleep S``, ``trap 'exit N' TERM``, ``trap '' TERM``,
``read``, ``cat`` and ``stty size`` does what the contract suite asks of a real shell. As a container's command,
anything else is an editor: it runs until it is stopped, then exits 0. As an exec's command, anything else is not found;
so is, for both, whatever should lie in ``/no/such``.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from string import Template

NOT_FOUND = 127


@dataclass(frozen=True, slots=True)
class Say:
    """Write a text to stdout (1) or stderr (2)."""

    text: str
    stream: int = 1


@dataclass(frozen=True, slots=True)
class Exit:
    """End with a code."""

    code: int


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait; ``seconds`` None is for ever."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Trap:
    """On SIGTERM exit with this code; None ignores it."""

    code: int | None


@dataclass(frozen=True, slots=True)
class Read:
    """Read one line of stdin."""


@dataclass(frozen=True, slots=True)
class Cat:
    """Copy stdin to stdout."""


@dataclass(frozen=True, slots=True)
class TerminalSize:
    """Say rows and columns."""


Step = Say | Exit | Sleep | Trap | Read | Cat | TerminalSize

EDITOR: tuple[Step, ...] = (Trap(0), Sleep(None))


def steps_of(command: tuple[str, ...], env: Mapping[str, str], *, editor: bool) -> tuple[Step, ...]:
    """The steps of a command; with ``editor`` an unknown one is an editor."""
    scripts = [command]
    if command[:2] == ("sh", "-c"):
        scripts = [tuple(words) for words in _statements(command[2])]
    steps: list[Step] = []
    for words in scripts:
        step = _step(words, env)
        if step is None:
            missing = Say(f"executable file `{words[0]}` not found\n" if words else "", 2)
            return EDITOR if editor else (*steps, missing, Exit(NOT_FOUND))
        steps.append(step)
    return tuple(steps)


def _statements(script: str) -> list[list[str]]:
    lexer = shlex.shlex(script, posix=True, punctuation_chars=";")
    lexer.whitespace_split = True
    lexer.commenters = ""
    statements: list[list[str]] = [[]]
    for word in lexer:
        if word.strip(";") or not word:
            statements[-1].append(word)
        else:
            statements.append([])
    return [words for words in statements if words]


def _step(words: tuple[str, ...], env: Mapping[str, str]) -> Step | None:
    match words:
        case ("exec", *rest):
            return _step(tuple(rest), env)
        case ("echo" | "printf" as verb, *rest):
            stream = 2 if rest[-1:] == [">&2"] else 1
            said = [Template(word).safe_substitute(env) for word in rest if word != ">&2"]
            return Say(" ".join(said) + ("\n" if verb == "echo" else ""), stream)
        case ("pwd",):
            return Say(env.get("PWD", "/") + "\n", 1)
        case ("exit", code):
            return Exit(int(code))
        case ("true",) | ("ls", *_):
            return Exit(0)
        case ("sleep", seconds):
            return Sleep(float(seconds))
        case ("trap", action, "TERM"):
            return Trap(int(action.removeprefix("exit ")) if action else None)
        case ("read", _):
            return Read()
        case ("cat",):
            return Cat()
        case ("stty", "size"):
            return TerminalSize()
        case _:
            return None
