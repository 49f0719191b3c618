# SPDX-License-Identifier: Apache-2.0
"""The files by which notebookd and its gateway speak with each other.

The two are separate processes that may each restart at any time, so they share no connection, only small files in
two directories that no container ever sees:

* ``routes/<id>.json``, written by notebookd, read by the gateway: who may reach this notebook, and is it up?
* ``activity/<id>.json``, written by the gateway, read by notebookd: when was it last used?

A file appears and changes in one step (written aside, then renamed), so a reader never sees half of one. A file that
cannot be understood is treated as absent: for a route that means "no such notebook", which lets nobody in.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from notebookd import nofollow

__all__ = [
    "Activity",
    "Route",
    "activity_is_kept",
    "find_activity",
    "find_route",
    "is_notebook_id",
    "keep_activity",
    "list_activity",
    "list_published",
    "read_activity",
    "remove_activity",
    "remove_route",
    "route_file",
    "write_activity",
    "write_route",
]

_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SUFFIX: Final = ".json"
_MODE: Final = 0o640
_KEPT: Final = "kept.lock"
_FLOCK: Final = struct.Struct("hhqqi4x")
"""``struct flock`` of 64-bit Linux: type, whence, start, length, pid."""
_WHOLE_FILE: Final = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


class Route(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the gateway needs to know of a notebook. A deleted notebook has no route."""

    notebook: str
    """Its id, a UUID in lower case: also the first label of its host name and its folder under ``editors/``."""
    name: str
    owner: str
    owner_uid: int | None = None
    """Of the owner's account, which alone may use the token on this machine; None while there is no such account."""
    state: str
    """The notebook's state as the API spells it, ``RUNNING``, ``STARTING``, …"""
    unsecure_http: bool = False
    """No token is asked for. Origin rules hold all the same."""
    token_hash: str | None = None
    """SHA-256 of the token, in hex; None while there is no token that could be shown."""
    session_key: str | None = None
    """256 bits in hex, by which sessions are made; None where there are none. It outlives the token."""
    reason: str = ""
    """For people: why it is in this state."""


class Activity(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How a notebook is being used, as seen by the gateway. Times are Unix seconds, wall clock."""

    last_activity_at: float | None
    connections: int
    """Open websockets."""
    updated_at: float


def is_notebook_id(text: str) -> bool:
    """Whether ``text`` is a UUID in the one spelling (lower case, with hyphens) used in file and host names."""
    return _ID.fullmatch(text) is not None


def _file_name(notebook: str) -> str:
    if not is_notebook_id(notebook):
        raise ValueError(f"cannot name a file for notebook {notebook!r}: not a UUID in lower case")
    return notebook + _SUFFIX


def _write(directory: Path, notebook: str, content: msgspec.Struct) -> None:
    with nofollow.open_directory(directory) as fd:
        nofollow.replace_file(fd, _file_name(notebook), msgspec.json.encode(content), mode=_MODE)


def _read(directory: Path, notebook: str) -> bytes | None:
    try:
        with nofollow.open_directory(directory) as fd:
            return nofollow.read_file(fd, _file_name(notebook))
    except FileNotFoundError:
        return None


def _remove(directory: Path, notebook: str) -> bool:
    try:
        with nofollow.open_directory(directory) as fd:
            return nofollow.remove_file(fd, _file_name(notebook))
    except FileNotFoundError:
        return False


def _notebooks(directory: Path) -> Iterator[str]:
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except FileNotFoundError:
        return
    for name in names:
        if name.endswith(_SUFFIX) and is_notebook_id(notebook := name.removesuffix(_SUFFIX)):
            yield notebook


def route_file(directory: Path, notebook: str) -> Path:
    """Where the route of a notebook lies."""
    return directory / _file_name(notebook)


def write_route(directory: Path, route: Route) -> None:
    """Publish a route, replacing the one before it in one step."""
    _write(directory, route.notebook, route)


def find_route(directory: Path, notebook: str) -> Route | None:
    """The route of a notebook; None when there is none, or none that can be understood."""
    try:
        if (data := _read(directory, notebook)) is None:
            return None
        route = msgspec.json.decode(data, type=Route)
    except (msgspec.DecodeError, nofollow.UnexpectedKind):
        return None
    return route if route.notebook == notebook else None


def remove_route(directory: Path, notebook: str) -> bool:
    """Withdraw a route; False when there was none."""
    return _remove(directory, notebook)


def list_published(directory: Path) -> list[str]:
    """The notebooks that have a route, whatever it says, by id."""
    return list(_notebooks(directory))


def write_activity(directory: Path, notebook: str, activity: Activity) -> None:
    """Publish what is known of a notebook's use, replacing what was known before."""
    _write(directory, notebook, activity)


def read_activity(directory: Path, notebook: str) -> Activity | None:
    """What is noted of a notebook's use; None when nothing is. Raises ValueError when the note makes no sense,
    :class:`~notebookd.nofollow.UnexpectedKind` when it is no file."""
    if (data := _read(directory, notebook)) is None:
        return None
    return msgspec.json.decode(data, type=Activity)  # its errors are ValueErrors


def find_activity(directory: Path, notebook: str) -> Activity | None:
    """Like :func:`read_activity`, and None also when the note makes no sense."""
    try:
        return read_activity(directory, notebook)
    except (ValueError, nofollow.UnexpectedKind):
        return None


def keep_activity(directory: Path) -> int:
    """Say that from now on every activity file is true and none is missing, until the descriptor that this returns is
    closed or its process ends, however it ends. Raises OSError, BlockingIOError when another gateway says so."""
    with nofollow.open_directory(directory) as folder:
        fd = os.open(_KEPT, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE, dir_fd=folder)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _WHOLE_FILE)
    except BaseException:
        os.close(fd)
        raise
    return fd


def activity_is_kept(directory: Path) -> bool:
    """Whether a gateway vouches for the activity files now. Only looks: takes no lock, not even for a moment."""
    try:
        with nofollow.open_directory(directory) as folder:
            fd = os.open(_KEPT, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return False
    try:
        holder = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _WHOLE_FILE)
    finally:
        os.close(fd)
    return bool(_FLOCK.unpack(holder)[0] != fcntl.F_UNLCK)


def remove_activity(directory: Path, notebook: str) -> bool:
    """Forget a notebook's use; False when nothing was known."""
    return _remove(directory, notebook)


def list_activity(directory: Path) -> dict[str, Activity]:
    """Everything known, by notebook id."""
    found = {notebook: find_activity(directory, notebook) for notebook in _notebooks(directory)}
    return {notebook: activity for notebook, activity in found.items() if activity is not None}
