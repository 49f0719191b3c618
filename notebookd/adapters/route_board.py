# SPDX-License-Identifier: Apache-2.0
"""Telling the gateway of notebooks, by the files of :mod:`notebookd.routes`."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from notebookd import routes
from notebookd.config import Paths
from notebookd.domain.ids import NotebookId
from notebookd.domain.notebook import Notebook
from notebookd.domain.run import FINAL, NotebookState, Run, notebook_state

log = logging.getLogger(__name__)

_OPEN = frozenset({NotebookState.STARTING, NotebookState.RUNNING, NotebookState.RESTARTING})


class RouteFiles:
    """See :class:`~notebookd.ports.board.RouteBoard`. ``uid_of`` is the uid on record of an owner."""

    def __init__(self, paths: Paths, *, uid_of: Callable[[str], int | None]) -> None:
        self._routes = paths.routes
        self._activity = paths.activity
        self._uid_of = uid_of
        self._written: dict[NotebookId, routes.Route] = {}
        self._failing: set[NotebookId] = set()
        self._words: Mapping[NotebookId, str] = {}

    def publish(self, notebook: Notebook, run: Run) -> bool:
        """Write the route if it says something new; on a full disk a file can still be removed."""
        route = _route(notebook, run, self._uid_of(notebook.owner), self._words)
        if self._written.get(notebook.id) == route:
            return True
        try:
            if notebook.id in self._written or routes.find_route(self._routes, notebook.id) != route:
                routes.write_route(self._routes, route)
        except OSError as fault:
            self._failed(notebook.id, "publish", fault)
            self._take_away(notebook.id)
            return False
        self._written[notebook.id] = route
        self._failing.discard(notebook.id)
        return True

    def tell(self, words: Mapping[NotebookId, str]) -> None:
        """Write the routes of those that start anew. One that cannot be written stays: it lets nobody else in."""
        self._words = words
        for notebook_id, said in words.items():
            route = self._written.get(notebook_id)
            if route is None or route.state != NotebookState.STARTING or route.reason == said:
                continue
            told = replace(route, reason=said)
            try:
                routes.write_route(self._routes, told)
            except OSError as fault:
                self._failed(notebook_id, "publish", fault)
            else:
                self._written[notebook_id] = told

    def _take_away(self, notebook_id: NotebookId) -> None:
        self._written.pop(notebook_id, None)
        try:
            routes.remove_route(self._routes, notebook_id)
        except OSError as fault:
            log.warning("cannot take away the route of notebook %s, which is out of date: %s", notebook_id, fault)

    def _failed(self, notebook_id: NotebookId, what: str, fault: OSError) -> None:
        """Say it once, however often it is tried."""
        if notebook_id not in self._failing:
            log.warning("cannot %s the route of notebook %s, trying again: %s", what, notebook_id, fault)
        self._failing.add(notebook_id)

    def list_published(self) -> list[NotebookId]:
        """By the files that are there."""
        return [NotebookId(notebook) for notebook in routes.list_published(self._routes)]

    def withdraw(self, notebook_id: NotebookId) -> bool:
        """Remove the route."""
        self._written.pop(notebook_id, None)
        try:
            routes.remove_route(self._routes, notebook_id)
            routes.remove_activity(self._activity, notebook_id)
        except OSError as fault:
            self._failed(notebook_id, "withdraw", fault)
            return False
        self._failing.discard(notebook_id)
        return True


def _route(notebook: Notebook, run: Run, owner_uid: int | None, words: Mapping[NotebookId, str]) -> routes.Route:
    state = notebook_state(run.state, deleting=notebook.deleting_at is not None)
    hashed = hashlib.sha256(notebook.token.encode()).hexdigest() if notebook.token and state in _OPEN else None
    return routes.Route(
        notebook=notebook.id,
        name=notebook.spec.name,
        owner=notebook.owner,
        owner_uid=owner_uid,
        state=str(state),
        unsecure_http=notebook.spec.unsecure_http,
        token_hash=hashed,
        session_key=None if notebook.deleting_at else _session_key(notebook, owner_uid) or hashed,
        reason=_reason(run, words.get(notebook.id, "") if state is NotebookState.STARTING else ""),
    )


def _reason(run: Run, words: str) -> str:
    return run.outcome.message if run.outcome and run.state in FINAL else words


def _session_key(notebook: Notebook, owner_uid: int | None) -> str | None:
    """From the notebook's own secret, for its owner. None for one that an older notebookd started last."""
    if notebook.session_secret is None:
        return None
    whose = f"notebookd-session-key|{notebook.id}|{notebook.owner}|{owner_uid}"
    return hmac.new(notebook.session_secret.encode(), whose.encode(), hashlib.sha256).hexdigest()
