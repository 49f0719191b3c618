# SPDX-License-Identifier: Apache-2.0
"""Waiting for a notebook to get somewhere, and saying on stderr what happens meanwhile."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Protocol

from notebookd import wire
from notebookd.cli.here import Here
from notebookd.cli.output import clean, size
from notebookd.client import Client, ClientError, Refused, Reply, Unreachable

__all__ = ["EndedBadly", "wait_until_deleted", "wait_until_running", "wait_until_stopped"]

FAILED = frozenset({"FAILED", "ERROR", "SYNC_FAILED"})
PATIENCE = timedelta(seconds=60)  # a restart of the daemon is no event: wait it out


class EndedBadly(Exception):
    """What was waited for will not come."""

    def __init__(self, notebook: wire.Notebook) -> None:
        super().__init__(notebook.status.state)
        self.notebook = notebook


class Screen(Protocol):
    """Where progress is shown."""

    def done(self, text: str) -> None:
        """A step that is behind us."""

    def current(self, text: str) -> None:
        """What happens now; said again and again while it does."""


class _Lines:
    """A screen for logs and files: each thing once, one line each."""

    def __init__(self, here: Here) -> None:
        self._note = here.terminal.note
        self._last = ""

    def done(self, text: str) -> None:
        self._note(text)

    def current(self, text: str) -> None:
        if text and text != self._last:
            self._note(f"... {text}")
        self._last = text


def _screen(here: Here) -> AbstractContextManager[Screen]:
    if here.terminal.watched():
        from notebookd.cli.live import live_screen

        return live_screen()
    return contextlib.nullcontext(_Lines(here))


class _Steps:
    """Turns looks at a notebook into steps with durations. Only what began after the command did is told."""

    def __init__(self, screen: Screen, client: Client, begun: datetime) -> None:
        self._screen = screen
        self._client = client
        self._begun = begun
        self._clear_of_rounding = begun - timedelta(milliseconds=5)  # times on the wire are cut to milliseconds
        self._told = 0
        self._asked_at = begun - timedelta(days=1)
        self._place = ""

    def look(self, notebook: wire.Notebook, now: datetime) -> None:
        job = notebook.status.last_job_status
        rows = [
            (row.state.lower(), wire.parse_rfc3339(row.date))
            for row in (job.history if job else [])
            if wire.parse_rfc3339(row.date) >= self._clear_of_rounding
        ]
        for (state, began), (_, ended) in list(itertools.pairwise(rows))[self._told :]:
            self._screen.done(f"  {state:<14}{(ended - began).total_seconds():7.1f} s")
            self._told += 1
        self._screen.current(self._now_doing(notebook, rows[-1][0] if rows else "", now))

    def _now_doing(self, notebook: wire.Notebook, step: str, now: datetime) -> str:
        if step == "pending" and now - self._asked_at >= timedelta(seconds=1):
            self._asked_at = now
            self._place = self._queue_place(notebook.id)
        status = notebook.status
        info = status.info or (status.last_job_status.info if status.last_job_status else None)
        parts = [
            step or status.state.lower(),
            info.message if info else "",
            self._place if step == "pending" else "",
            *_transfers(status),
        ]
        return clean(": ".join(part for part in parts if part))

    def _queue_place(self, notebook: str) -> str:
        try:
            waiting = self._client.queue().value.items
        except ClientError:
            return ""
        return next((f"place {each.position}, {each.waits_for}" for each in waiting if each.notebook == notebook), "")

    def finished(self, word: str, now: datetime) -> None:
        self._screen.done(f"{word} after {(now - self._begun).total_seconds():.1f} s")


def _transfers(status: wire.NotebookStatus) -> Iterator[str]:
    for sync in status.data_sync or []:
        for row in sync.status.progress or []:
            if row.state == "RUNNING":
                path = row.notebook_volume.mount_path if row.notebook_volume else "data"
                yield f"{row.direction} {path} {size(row.transferred_bytes or 0)}"


def wait_until_running(here: Here, notebook: str, begun: datetime) -> Reply[wire.Notebook]:
    """Wait until it runs. :class:`EndedBadly` when its run ended instead."""
    return _wait(here, notebook, begun, "RUNNING", FAILED | {"STOPPED"})


def wait_until_stopped(here: Here, notebook: str, begun: datetime) -> Reply[wire.Notebook]:
    """Wait until it is stopped. :class:`EndedBadly` when it failed on the way."""
    return _wait(here, notebook, begun, "STOPPED", FAILED)


def wait_until_deleted(here: Here, notebook: str, begun: datetime) -> None:
    """Wait until there is no trace of it."""
    with contextlib.suppress(_Gone):
        _wait(here, notebook, begun, None, frozenset())


class _Gone(Exception):
    """There is no such notebook any more."""


def _wait(here: Here, notebook: str, begun: datetime, goal: str | None, bad: frozenset[str]) -> Reply[wire.Notebook]:
    with _screen(here) as screen:
        steps = _Steps(screen, here.client, begun)
        for reply in _looks(here, notebook, begun):
            now = here.terminal.now()
            if reply is None:
                steps.finished("deleted", now)
                raise _Gone
            found = reply.value
            steps.look(found, now)
            if found.status.state == goal:
                steps.finished(goal.lower(), now)
                return reply
            if found.status.state in bad:
                raise EndedBadly(found)
    raise AssertionError("looking never ends by itself")


def _looks(here: Here, notebook: str, begun: datetime) -> Iterator[Reply[wire.Notebook] | None]:
    """The notebook again and again, often at first; None when it is gone. Outlives a restart of the daemon."""
    seen = begun
    while True:
        try:
            reply = here.client.get_notebook(notebook)
        except Refused as error:
            if error.status != 404:
                raise
            yield None
        except Unreachable:
            if here.terminal.now() - seen > PATIENCE:
                raise
        else:
            seen = here.terminal.now()
            yield reply
        waited = here.terminal.now() - begun
        here.terminal.sleep(0.1 if waited < timedelta(seconds=10) else 0.5 if waited < timedelta(minutes=1) else 1.0)
