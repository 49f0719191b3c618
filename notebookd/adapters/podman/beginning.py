# SPDX-License-Identifier: Apache-2.0
"""Whether a container's command began, where an init runs it.

The runtime refuses to start a container whose program is not there. An init is always there: it fails when it runs the
program, writes so into the container's log and ends.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from notebookd.adapters.processes import PROC

WITHIN_S, PAUSE_S = 2.0, 0.002
LOG_PAUSES_S = (0.01, 0.02, 0.05, 0.1, 0.2)
_TAIL_BYTES = 4096
_FAILED = re.compile(r"(?:ERROR|FATAL) \(catatonit:[0-9]+\): failed to exec pid1: (.+)$")


def await_command(init: int, alive: Callable[[], bool], proc: Path = PROC) -> None:
    """Until the init's first child is another program than the init, or the init ended; not longer than two seconds."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline and alive():
        try:
            if _program_of_child(init, proc) not in {None, (proc / str(init) / "exe").readlink()}:
                return
        except PermissionError:
            return  # a program that does not want to be looked at is not the init
        except OSError:
            pass  # one of them is gone, as the next look shows
        time.sleep(PAUSE_S)


def _program_of_child(init: int, proc: Path) -> Path | None:
    children = (proc / str(init) / "task" / str(init) / "children").read_text().split()
    return (proc / children[0] / "exe").readlink() if children else None


def await_reason(look: Callable[[], Mapping[str, Any] | None]) -> str | None:
    """Why the command of a container that ended did not begin, None when it did. ``look`` gives the container as
    Podman's inspect tells of it; its last words may take a moment to be in its log."""
    for pause_s in LOG_PAUSES_S:
        body = look()
        if body is None or not may_not_have_begun(body):
            return None
        if (reason := why_not_begun(body)) is not None:
            return reason
        time.sleep(pause_s)
    return None


def may_not_have_begun(body: Mapping[str, Any]) -> bool:
    """Whether a container, as Podman's inspect tells of it, ended as it does when its init cannot run the program."""
    return bool(_host(body).get("Init")) and body["State"].get("ExitCode") == 1


def why_not_begun(body: Mapping[str, Any]) -> str | None:
    """What the init wrote into the container's log if it could not run the program."""
    said = _FAILED.search(_last_words((_host(body).get("LogConfig") or {}).get("Path") or ""))
    return f"cannot run {_program(body)}: {said.group(1)}" if said else None


def _host(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return body.get("HostConfig") or {}


def _program(body: Mapping[str, Any]) -> str:
    entrypoint = (body.get("Config") or {}).get("Entrypoint") or ()
    words = entrypoint.split() if isinstance(entrypoint, str) else entrypoint
    return str(words[0]) if words else "its command"


def _last_words(log: str) -> str:
    """The end of a log, whose lines conmon may have got in pieces: each has a time, a stream and a mark before it."""
    with suppress(OSError), open(log, "rb") as file:  # noqa: PTH123 - "" is no path
        file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
        return "".join(line.split(" ", 3)[-1] for line in lines)
    return ""
