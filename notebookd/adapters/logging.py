# SPDX-License-Identifier: Apache-2.0
"""Log lines: with the journal's priority in front when stderr is the journal, with a time for people otherwise.

Pass what a line is about as ``extra``: ``log.info("granted", extra={"notebook": id, "gpu": uuid})`` ends in
``notebook=… gpu=…``, which can be searched for.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import TextIO

FIELDS = ("notebook", "run", "owner", "actor", "gpu", "container", "image", "error_id")
"""The names that ``extra`` may carry."""

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7


class PeopleFormatter(logging.Formatter):
    """``2026-03-02 10:00:00 INFO notebookd.reconciler: granted notebook=…``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        """The line with what it is about behind it."""
        return super().formatMessage(record) + _about(record)


class JournalFormatter(logging.Formatter):
    """``<6>notebookd.reconciler: granted notebook=…``; every line of a traceback bears the priority, see
    sd-daemon(3)."""

    def __init__(self) -> None:
        super().__init__("%(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        """The line with what it is about behind it."""
        return super().formatMessage(record) + _about(record)

    def format(self, record: logging.LogRecord) -> str:
        """The whole message, each line with its priority."""
        priority = next((number for level, number in _PRIORITIES if record.levelno >= level), _DEBUG)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines() or [""])


def set_up_logging(
    level: int = logging.INFO, *, stream: TextIO | None = None, environ: Mapping[str, str] | None = None
) -> None:
    """Send everything logged to ``stream`` (stderr), in the form that suits it. Calling it again replaces the first."""
    stream = stream or sys.stderr
    to_journal = is_journal(stream, os.environ if environ is None else environ)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JournalFormatter() if to_journal else PeopleFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # One line a request belongs to the debugging of aiohttp, not to a service's log.
    logging.getLogger("aiohttp.access").setLevel(max(level, logging.WARNING))


def is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether a stream goes to the journal: ``$JOURNAL_STREAM`` holds its device and inode."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _about(record: logging.LogRecord) -> str:
    return "".join(f" {name}={record.__dict__[name]}" for name in FIELDS if record.__dict__.get(name) is not None)
