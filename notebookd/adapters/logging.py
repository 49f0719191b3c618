# SPDX-License-Identifier: Apache-2.0
"""Log lines: entries with fields when stderr is the journal, lines with a time for people otherwise.

Pass what a line is about as ``extra``: ``log.info("granted", extra={"notebook": id, "gpu": uuid})``. For people it
ends in ``notebook=… gpu=…``; in the journal they are fields, for ``journalctl NOTEBOOK_ID=…``. The protocol is that
of https://systemd.io/JOURNAL_NATIVE_PROTOCOL. What others wrote steers no terminal that shows the log.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from notebookd.log_lines import LineFormatter
from notebookd.neutral import neutral
from notebookd.ports.store import Store

JOURNAL = Path("/run/systemd/journal/socket")
FIELDS = {
    "notebook": "NOTEBOOK_ID",
    "run": "RUN_ID",
    "owner": "OWNER",
    "actor": "ACTOR",
    "event": "EVENT",
    "gpu": "GPU",
    "container": "CONTAINER",
    "image": "IMAGE",
    "error_id": "ERROR_ID",
}
"""The names that ``extra`` may carry, and what the journal calls them."""

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7


class PeopleFormatter(LineFormatter):
    """``2026-03-02 10:00:00 INFO notebookd.reconciler: granted notebook=…``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")

    def about(self, record: logging.LogRecord) -> str:
        """What it is about."""
        return _about(record)


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
        priority = _priority(record)
        return "\n".join(f"<{priority}>{line}" for line in self.plain(record).splitlines() or [""])

    def plain(self, record: logging.LogRecord) -> str:
        """The whole message without."""
        return neutral(super().format(record))


class JournalHandler(logging.Handler):
    """Sends each record as one entry with fields. What the journal does not take goes to ``otherwise``."""

    def __init__(self, journal: Path, otherwise: logging.Handler) -> None:
        super().__init__()
        self._otherwise = otherwise
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        # A journal that does not keep up loses lines of ours: it must not stop the service.
        self._socket.setblocking(False)
        self._journal = str(journal)

    def emit(self, record: logging.LogRecord) -> None:
        """Send it."""
        entry = b"".join(_assignment(name, value) for name, value in _entry(record).items())
        try:
            self._send(entry)
        except BlockingIOError:
            return
        except OSError:
            self._otherwise.handle(record)

    def _send(self, entry: bytes) -> None:
        try:
            self._socket.sendto(entry, self._journal)
        except OSError as fault:
            if fault.errno not in {errno.EMSGSIZE, errno.ENOBUFS}:
                raise
            # Too long for a datagram: the journal takes it from a file in memory.
            with os.fdopen(os.memfd_create("entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "wb") as file:
                file.write(entry)
                file.flush()
                _seal(file.fileno())
                self._socket.connect(self._journal)
                socket.send_fds(self._socket, [b""], [file.fileno()])

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()
        super().close()


def _seal(descriptor: int) -> None:
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)


def _entry(record: logging.LogRecord) -> dict[str, str]:
    message = JournalFormatter().plain(record)
    entry = {"MESSAGE": message, "PRIORITY": str(_priority(record)), "SYSLOG_IDENTIFIER": "notebookd"}
    entry |= {"LOGGER": record.name, "CODE_FILE": record.pathname, "CODE_LINE": str(record.lineno)}
    given = record.__dict__
    return entry | {field: str(given[name]) for name, field in FIELDS.items() if given.get(name) is not None}


def _assignment(name: str, value: str) -> bytes:
    text = value.encode("utf-8", errors="replace")
    if b"\n" not in text:
        return name.encode() + b"=" + text + b"\n"
    return name.encode() + b"\n" + len(text).to_bytes(8, "little") + text + b"\n"


def _priority(record: logging.LogRecord) -> int:
    return next((number for level, number in _PRIORITIES if record.levelno >= level), _DEBUG)


async def log_events(store: Store) -> None:
    """Log every event from now on, as it is committed; ends only by being cancelled."""
    seen = store.last_event_id()
    log = logging.getLogger("notebookd.event")
    while True:
        await store.next_event(seen)
        for event in store.list_events(after=seen, limit=100, notebook_id=None, owner=None):
            change = f": {event.before or 'nothing'} to {event.after}" if event.after else ""
            about = {"notebook": event.notebook_id, "run": event.run_id, "owner": event.owner, "actor": event.actor}
            log.info("%s%s", event.type, change, extra=about | {"event": event.type})
            seen = event.id


def set_up_logging(
    level: int = logging.INFO,
    *,
    stream: TextIO | None = None,
    environ: Mapping[str, str] | None = None,
    journal: Path = JOURNAL,
) -> None:
    """Send everything logged to ``stream`` (stderr), in the form that suits it: where that is the journal, past it to
    the ``journal``'s own socket. Calling it again replaces the first."""
    stream = stream or sys.stderr
    to_journal = is_journal(stream, os.environ if environ is None else environ)
    handler: logging.Handler = logging.StreamHandler(stream)
    handler.setFormatter(JournalFormatter() if to_journal else PeopleFormatter())
    if to_journal and journal.exists():
        handler = JournalHandler(journal, handler)
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
