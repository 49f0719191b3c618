# SPDX-License-Identifier: Apache-2.0
"""Waiting for a notebook to get somewhere, and saying on stderr what happens meanwhile."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta

from notebookd import wire
from notebookd.cli.here import EndedBadly, Here
from notebookd.cli.output import clean, waits_for
from notebookd.cli.progress import Screen, screen
from notebookd.cli.transfers import SYNC_FAILED, Transfers, Underway, reason
from notebookd.client import Client, ClientError, Refused, Reply, Unreachable

__all__ = ["wait_for_sync", "wait_until_deleted", "wait_until_running", "wait_until_stopped"]

FAILED = frozenset({"FAILED", "ERROR", "SYNC_FAILED"})
PATIENCE = timedelta(seconds=60)  # a restart of the daemon is no event: wait it out


def _ended_badly(notebook: wire.Notebook) -> EndedBadly:
    name, status = notebook.spec.name, notebook.status
    info = status.info or (status.last_job_status.info if status.last_job_status else None)
    reason = f"{info.message} ({info.code})" if info else "no reason is known"
    hint = f"notebookctl why {notebook.id}; notebookctl logs {notebook.id}"
    if status.state == "SYNC_FAILED":
        hint = (
            f"what could not be carried back is kept: notebookctl push-data {notebook.id} tries again, "
            f"notebookctl cp {notebook.id}:/MOUNT . reads it, "
            f"notebookctl start {notebook.id} --discard gives it up; {hint}"
        )
    return EndedBadly(f"notebook {name} is {status.state}: {reason}", hint)


def _took_long(notebook: wire.Notebook, at_most: timedelta) -> EndedBadly:
    name = notebook.spec.name
    return EndedBadly(
        f"notebook {name} is {notebook.status.state} after {at_most.total_seconds():g} s, and is not waited for longer",
        f"it goes on: notebookctl why {notebook.id} says why, notebookctl stop {notebook.id} ends it",
    )


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
        self._transfers = Transfers(begun)

    def look(self, notebook: wire.Notebook, now: datetime) -> None:
        job = notebook.status.last_job_status
        rows = [
            (row.state.lower(), wire.parse_rfc3339(row.date))
            for row in (job.history if job else [])
            if wire.parse_rfc3339(row.date) >= self._clear_of_rounding
        ]
        for line in self._transfers.finished(notebook.status):
            self._screen.done(f"  {line}")
        for (state, began), (_, ended) in list(itertools.pairwise(rows))[self._told :]:
            self._screen.done(f"  {state:<14}{(ended - began).total_seconds():7.1f} s")
            self._told += 1
        underway = self._transfers.underway(notebook.status, now)
        self._screen.current(self._now_doing(notebook, rows[-1][0] if rows else "", now, underway), underway.detail)

    def _now_doing(self, notebook: wire.Notebook, step: str, now: datetime, underway: Underway) -> str:
        if step == "pending" and now - self._asked_at >= timedelta(seconds=1):
            self._asked_at = now
            self._place = self._queue_place(notebook.id)
        status = notebook.status
        info = status.info or (status.last_job_status.info if status.last_job_status else None)
        parts = [
            step or status.state.lower(),
            underway.text or (info.message if info else ""),
            self._place if step == "pending" else "",
        ]
        return clean(": ".join(part for part in parts if part))

    def _queue_place(self, notebook: str) -> str:
        try:
            waiting = self._client.queue().value.items
        except ClientError:
            return ""
        return next(
            (f"place {each.position}, waits for {waits_for(each)}" for each in waiting if each.notebook == notebook), ""
        )

    def finished(self, word: str, now: datetime) -> None:
        self._screen.done(f"{word} after {(now - self._begun).total_seconds():.1f} s")


def wait_until_running(
    here: Here, notebook: str, begun: datetime, *, at_most: timedelta | None = None
) -> Reply[wire.Notebook]:
    """Wait until it runs, ``at_most`` so long. :class:`EndedBadly` when its run ended instead, or the time did."""
    with _going_on(here, f"the notebook goes on starting: notebookctl stop {notebook} ends that"):
        return _wait(here, notebook, begun, "RUNNING", FAILED | {"STOPPED"}, at_most)


def wait_until_stopped(here: Here, notebook: str, begun: datetime) -> Reply[wire.Notebook]:
    """Wait until it is stopped. :class:`EndedBadly` when it failed on the way."""
    with _going_on(here, f"the notebook goes on stopping: notebookctl start {notebook} has it start again after that"):
        return _wait(here, notebook, begun, "STOPPED", FAILED)


def wait_until_deleted(here: Here, notebook: str, begun: datetime) -> None:
    """Wait until there is no trace of it."""
    with contextlib.suppress(_Gone), _going_on(here, "the notebook goes on being deleted: nothing can end that"):
        _wait(here, notebook, begun, None, frozenset())


def wait_for_sync(here: Here, notebook: str, sync: str, begun: datetime) -> wire.DataSync:
    """Wait until a transfer of data is over. :class:`EndedBadly` when it did not succeed."""
    with (
        _going_on(here, f"the transfer goes on: notebookctl get {notebook} shows how far it is"),
        screen(here) as shown,
    ):
        transfers = Transfers(begun)
        for reply in _looks(here, notebook, begun):
            status = reply.value.status if reply else None
            found = next((each for each in (status and status.data_sync) or [] if each.id == sync), None)
            if reply is None or status is None or found is None:
                raise EndedBadly("the transfer is not on record any more", f"notebookctl get {notebook}")
            for line in transfers.finished(status, only=sync):
                shown.done(line)
            if found.status.state in SYNC_FAILED:
                raise EndedBadly(clean(f"cannot {found.spec.direction} the data: {reason(found)}"), _go_on(reply.value))
            if found.status.state == "DONE":
                return found
            underway = transfers.underway(status, here.terminal.now(), only=sync)
            shown.current(clean(underway.text or "waiting to begin"), underway.detail)
    raise AssertionError("looking never ends by itself")


def _go_on(notebook: wire.Notebook) -> str:
    if notebook.status.state == "SYNC_FAILED":
        return f"nothing is lost: the local copy is kept; notebookctl why {notebook.id}"
    return f"what was transferred is kept, the rest is where it was; notebookctl why {notebook.id}"


@contextlib.contextmanager
def _going_on(here: Here, what: str) -> Iterator[None]:
    """Say at an interrupt that only the waiting ends."""
    try:
        yield
    except KeyboardInterrupt:
        here.terminal.note(f"note: {what}")
        raise


class _Gone(Exception):
    """There is no such notebook any more."""


def _wait(
    here: Here, notebook: str, begun: datetime, goal: str | None, bad: frozenset[str], at_most: timedelta | None = None
) -> Reply[wire.Notebook]:
    with screen(here) as shown:
        steps = _Steps(shown, here.client, begun)
        for reply in _looks(here, notebook, begun):
            now = here.terminal.now()
            if reply is None and goal is not None:
                raise EndedBadly("the notebook was deleted meanwhile", "notebookctl events shows by whom")
            if reply is None:
                steps.finished("deleted", now)
                raise _Gone
            found = reply.value
            steps.look(found, now)
            if found.status.state == goal:
                steps.finished(goal.lower(), now)
                return reply
            if found.status.state in bad:
                raise _ended_badly(found)
            if at_most is not None and now - begun >= at_most:
                raise _took_long(found, at_most)
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
