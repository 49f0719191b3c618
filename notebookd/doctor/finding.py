# SPDX-License-Identifier: Apache-2.0
"""What a check found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from subprocess import CalledProcessError, TimeoutExpired

from notebookd.doctor.machine import Patient


class Status(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check saw and, when something is wrong, what cures it."""

    name: str
    status: Status
    seen: str
    cure: str | None = None


Check = Callable[[Patient], Iterator[Finding]]


def ok(name: str, seen: str) -> Finding:
    """All is well."""
    return Finding(name=name, status=Status.OK, seen=seen)


def warn(name: str, seen: str, cure: str) -> Finding:
    """Something works less well, or could not be seen."""
    return Finding(name=name, status=Status.WARN, seen=seen, cure=cure)


def fail(name: str, seen: str, cure: str) -> Finding:
    """Something keeps notebooks from starting, or lets in who should not be."""
    return Finding(name=name, status=Status.FAIL, seen=seen, cure=cure)


def why(error: Exception) -> str:
    """The cause in an exception's words, without the path or the command that the finding names already."""
    if isinstance(error, CalledProcessError) and error.stderr:
        return str(error.stderr).strip().splitlines()[-1]
    if isinstance(error, TimeoutExpired):
        return f"no answer in {error.timeout:g} s"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
