# SPDX-License-Identifier: Apache-2.0
"""What ``top`` looks at: the board, the queue, the notebooks, what they take and the daemon's health.

Each part is asked for by a thread of its own, side by side, so that one that hangs holds up neither the others nor the
screen. A part that does not answer keeps its last answer, with the trouble and the time it was seen at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

import msgspec

from notebookd import wire
from notebookd.client import Client, ClientError, Reply

__all__ = ["Part", "Seen", "as_json", "look", "looking"]

T_co = TypeVar("T_co", covariant=True)

ACTIVE = ("STARTING", "RUNNING", "RESTARTING", "STOPPING")
PARTS = ("gpu", "queue", "notebook", "load", "health")
HEALTHY_S = 5.0  # between two looks at the health of a daemon that is well: it asks the engine each time
PATIENCE_S = 5.0  # for one answer: a daemon that is slower than this is as good as away


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Generic[T_co]):
    """The last answer about something (None: none yet), when it came, and why there is no newer one."""

    body: bytes = b""
    value: T_co | None = None
    at: datetime | None = None
    trouble: ClientError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Everything that is shown."""

    gpu: Part[wire.GpuList] = Part()
    queue: Part[wire.Queue] = Part()
    notebook: Part[wire.NotebookList] = Part()
    load: Part[wire.LoadList] = Part()
    health: Part[wire.Health] = Part()

    def troubles(self) -> dict[str, ClientError]:
        """What did not answer, and why."""
        parts = {name: cast("Part[object]", getattr(self, name)) for name in PARTS}
        return {name: part.trouble for name, part in parts.items() if part.trouble}


def _questions(client: Client) -> dict[str, Callable[[], Reply[Any]]]:
    patient = client.with_timeout(PATIENCE_S)
    return {
        "gpu": patient.list_gpus,
        "queue": patient.queue,
        "notebook": lambda: patient.list_notebooks(states=ACTIVE, size=500),
        "load": patient.loads,
        "health": patient.health,
    }


def _ask(question: Callable[[], Reply[Any]], now: Callable[[], datetime], last: Part[Any]) -> Part[Any]:
    try:
        reply = question()
        return Part(body=reply.body, value=reply.value, at=now())
    except ClientError as error:
        return Part(body=last.body, value=last.value, at=last.at, trouble=error)


def look(client: Client, now: Callable[[], datetime]) -> Seen:
    """One look at everything."""
    found: dict[str, Part[Any]] = {}

    def ask(name: str, question: Callable[[], Reply[Any]]) -> None:
        found[name] = _ask(question, now, Part())

    threads = [threading.Thread(target=ask, args=each) for each in _questions(client).items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Seen(**found)


@contextmanager
def looking(
    client: Client, now: Callable[[], datetime], interval_s: float, news: Callable[[], None]
) -> Iterator[Callable[[], Seen]]:
    """Look again and again until left; gives what tells the newest sight, and calls ``news`` from another thread when
    there is one. Leaving waits for no answer."""
    found: dict[str, Part[Any]] = {name: Part() for name in PARTS}
    left = threading.Event()

    def ask(name: str, question: Callable[[], Reply[Any]]) -> None:
        while not left.is_set():
            found[name] = _ask(question, now, found[name])
            if not left.is_set():
                news()
            well = name == "health" and not found[name].trouble
            left.wait(max(interval_s, HEALTHY_S) if well else interval_s)

    for each in _questions(client).items():
        threading.Thread(target=ask, args=each, daemon=True).start()
    try:
        yield lambda: Seen(**found)
    finally:
        left.set()


def as_json(seen: Seen) -> bytes:
    """Each part's body as the daemon sent it, under its route's name; under ``troubles`` why one is missing."""
    bodies = {name: msgspec.Raw(body) for name in PARTS if (body := getattr(seen, name).body)}
    troubles = {name: error.message for name, error in seen.troubles().items()}
    return msgspec.json.encode({**bodies, **({"troubles": troubles} if troubles else {})})
