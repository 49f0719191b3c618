# SPDX-License-Identifier: Apache-2.0
"""The routes as they are at this moment, at the price of one ``stat`` a request."""

from __future__ import annotations

from pathlib import Path

from notebookd import routes
from notebookd.routes import Route

__all__ = ["RouteTable"]

_Version = tuple[int, int, int]


class RouteTable:
    """Reads route files, each only once per version. A version is (mtime, inode, size), and since files are replaced
    and never written in place, the inode alone changes nearly always."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[str, tuple[_Version, Route | None]] = {}

    def find(self, notebook: str) -> Route | None:
        """The route of a notebook as it is now; None when there is none. Nothing is remembered of absent ones."""
        try:
            seen = routes.route_file(self._directory, notebook).lstat()
        except OSError:
            self._known.pop(notebook, None)
            return None
        version = (seen.st_mtime_ns, seen.st_ino, seen.st_size)
        known = self._known.get(notebook)
        if known is not None and known[0] == version:
            return known[1]
        try:
            route = routes.find_route(self._directory, notebook)
        except OSError:
            return None
        self._known[notebook] = (version, route)
        return route
