# SPDX-License-Identifier: Apache-2.0
"""notebookd beside JupyterHub with its simple spawner, in turn, on the same machine: ``make bench-peers``.

JupyterHub's servers are plain processes; notebookd's are containers. The ratios say what that costs, or does not.
"""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import jupyterhub
from tests.bench.control import scratch
from tests.bench.daemon import Daemon, service_pid
from tests.bench.figures import Figure, ratio
from tests.bench.jupyterhub import Hub

ROUNDS = 7
RUNNING = 6
LISTED = 100
ASKED_FOR_S = 1.0
SETTLE_S = 5.0
MB = 1024


def measure_peers(daemon: Daemon) -> list[Figure]:
    """Starts, answers, and what six that run hold of the memory."""
    jupyterhub.install()
    with scratch() as folder, jupyterhub.running(folder) as hub:
        return [*_starts(daemon, hub), *_memory(daemon, hub), *_answers(daemon, hub)]


def _starts(daemon: Daemon, hub: Hub) -> list[Figure]:
    hub.api("POST", "/users/starter")

    def ours() -> float:
        begun = time.perf_counter()
        daemon.await_running(daemon.create("bench-peer"))
        taken = time.perf_counter() - begun
        daemon.delete_all()
        return taken

    def theirs() -> float:
        begun = time.perf_counter()
        hub.start("starter")
        taken = time.perf_counter() - begun
        hub.stop("starter")
        return taken

    own, peer = _in_turn(ours, theirs)
    return _pair("from the wish to a JupyterLab that answers", "s", own, peer)


def _answers(daemon: Daemon, hub: Hub) -> list[Figure]:
    """Of a kept connection: ours is a Unix socket; theirs goes by its proxy, as whoever asks it does."""
    for number in range(LISTED):
        hub.api("POST", f"/users/user-{number}")
    with daemon.drained():
        first, *_ = [daemon.create(f"bench-{number}") for number in range(LISTED)]
        there = http.client.HTTPConnection("127.0.0.1", hub.port)
        try:
            one = _in_turn(
                lambda: _ms(lambda: daemon.raw("GET", f"/v1/notebook/{first}")),
                lambda: _ms(lambda: _whole(hub.call("GET", "/hub/api/users/user-0", connection=there))),
            )
            many = _in_turn(
                lambda: _ms(lambda: daemon.raw("GET", f"/v1/notebook?size={LISTED}")),
                lambda: _ms(lambda: _whole(hub.call("GET", f"/hub/api/users?limit={LISTED}", connection=there))),
            )
        finally:
            there.close()
            daemon.delete_all()
    return [
        *_pair("GET of a notebook, of a user", "ms", *one),
        *_pair(f"a list of {LISTED}", "ms", *many),
    ]


def _memory(daemon: Daemon, hub: Hub) -> list[Figure]:
    """PSS: what is shared is counted once, by parts."""
    own_bare, peer_bare = _pss_mb(_ours()), _pss_mb(_tree(hub.pid))
    for number in range(RUNNING):
        hub.api("POST", f"/users/memory-{number}")
        hub.start(f"memory-{number}")
        daemon.await_running(daemon.create(f"bench-memory-{number}"))
    time.sleep(SETTLE_S)
    own, peer = _pss_mb(_ours()), _pss_mb(_tree(hub.pid))
    for number in range(RUNNING):
        hub.stop(f"memory-{number}")
    daemon.delete_all()
    return [
        *_pair("memory with none running (daemon, gateway, engine; hub, proxy)", "MB", (own_bare,), (peer_bare,)),
        *_pair(f"memory at rest with {RUNNING} running", "MB", (own,), (peer,)),
        *_pair("memory of each", "MB", ((own - own_bare) / RUNNING,), ((peer - peer_bare) / RUNNING,)),
    ]


def _pair(name: str, unit: str, ours: tuple[float, ...], theirs: tuple[float, ...]) -> list[Figure]:
    own = Figure(name=f"{name}: notebookd", values=ours, unit=unit, digits=2)
    peer = Figure(name=f"{name}: JupyterHub", values=theirs, unit=unit, digits=2)
    return [own, peer, ratio("  notebookd over JupyterHub", own, peer)]


def _in_turn(ours: Callable[[], float], theirs: Callable[[], float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """After one of each that does not count: caches."""
    ours(), theirs()
    own, peer = zip(*((ours(), theirs()) for _ in range(ROUNDS)), strict=True)
    return own, peer


def _ms(ask: Callable[[], object]) -> float:
    """One at a time, for a second: what one takes."""
    count, begun = 0, time.perf_counter()
    while (passed := time.perf_counter() - begun) < ASKED_FOR_S:
        ask()
        count += 1
    return passed / count * 1000


def _whole(answer: tuple[int, bytes]) -> bytes:
    status, body = answer
    if status != 200:
        raise RuntimeError(f"JupyterHub answers {status}: {body[:200]!r}")
    return body


def _ours() -> set[int]:
    """Daemon, gateway, engine, and whatever lives in the engine's cgroup: containers and what watches over them."""
    mark = f"/notebookd-quickstart/{Path(os.environ['NOTEBOOKD_RUN']).name}/"
    inside = {pid for pid in _all_pids() if mark in _read(pid, "cgroup")}
    return inside.union(*(_tree(service_pid(name)) for name in ("daemon", "gateway", "engine")))


def _tree(pid: int) -> set[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for each in _all_pids():
        if status := _read(each, "stat"):
            children.setdefault(int(status.rpartition(")")[2].split()[1]), []).append(each)
    found, left = set(), [pid]
    while left:
        found.add(each := left.pop())
        left += children.get(each, [])
    return found


def _pss_mb(pids: set[int]) -> float:
    rollups = [line.split() for pid in pids for line in _read(pid, "smaps_rollup").splitlines()]
    return sum(int(words[1]) for words in rollups if words[0] == "Pss:") / MB


def _all_pids() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal()]


def _read(pid: int, name: str) -> str:
    """A file of a process; nothing once it is gone."""
    try:
        return (Path("/proc") / str(pid) / name).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
