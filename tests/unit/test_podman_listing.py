# SPDX-License-Identifier: Apache-2.0
"""A survey by one listing, against a Podman that the tests write: answers over a real socket, and real processes.
Whatever the listing says, nothing else is seen than by one inspection after the other."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from notebookd.adapters.podman import PodmanEngine
from notebookd.errors import EngineError, EngineUnavailable
from notebookd.ports.engine import Container, ContainerStatus

COUNT = 12
LABELS = {"io.notebookd.instance": "i"}


@dataclass
class Pretended:
    """A container of that Podman, and its process."""

    name: str
    process: subprocess.Popen[bytes]
    state: str = "running"
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    finished_at: datetime | None = None
    exit_code: int = 0
    listed: dict[str, Any] = field(default_factory=dict)
    """What the listing says otherwise."""

    @property
    def id(self) -> str:
        return self.name.encode().hex().ljust(64, "0")

    def inspected(self) -> dict[str, Any]:
        finished = self.finished_at.isoformat() if self.finished_at else "0001-01-01T00:00:00Z"
        state = {"Status": self.state, "Pid": self.process.pid, "StartedAt": self.started_at.isoformat()}
        state |= {"FinishedAt": finished, "ExitCode": self.exit_code}
        return {"Id": self.id, "Name": self.name, "Config": {"Labels": LABELS}, "Image": "ab" * 32, "State": state}

    def row(self) -> dict[str, Any]:
        row = {"Id": self.id, "Names": [self.name], "Labels": LABELS, "State": self.state, "Pid": self.process.pid}
        return row | {"StartedAt": int(self.started_at.timestamp()), "ExitCode": self.exit_code} | self.listed

    def begin(self) -> None:
        """It runs, in a new process."""
        self.end(0)
        self.process = new_process()
        self.state, self.started_at, self.finished_at = "running", datetime.now(UTC), None

    def end(self, exit_code: int) -> None:
        self.process.kill()
        self.process.wait()
        self.state, self.exit_code, self.finished_at = "exited", exit_code, datetime.now(UTC)


class Podman:
    """What answers on the socket. ``asked`` counts inspections, by name, and listings."""

    def __init__(self) -> None:
        self.containers = {name: Pretended(name, new_process()) for name in (f"c{each}" for each in range(COUNT))}
        self.foreign: list[dict[str, Any]] = []
        self.asked: Counter[str] = Counter()
        self.trouble = ""
        self.after_listing: Callable[[], None] = lambda: None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        key = request.path.partition("/containers/")[2].removesuffix("json").strip("/")
        self.asked[key or "listing"] += 1
        if not key:
            return await self._list(request)
        for each in self.containers.values():
            if key in (each.name, each.id):
                return web.json_response(each.inspected())
        return web.json_response({"message": f"no such container {key}"}, status=404)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        answer = web.json_response(rows := [each.row() for each in self.containers.values()] + self.foreign)
        self.after_listing()
        match self.trouble:
            case "refuses":
                return web.json_response({"message": "container state improper"}, status=500)
            case "dies":
                dying = web.StreamResponse()
                await dying.prepare(request)
                await dying.write(answer.body[: len(rows) * 20])  # type: ignore[index, arg-type]
                assert request.transport is not None
                request.transport.abort()
                return dying
            case "is cut":
                return web.Response(body=answer.body[:-50], content_type="application/json")  # type: ignore[index]
            case "says something else":
                return web.json_response({"rows": rows})
            case "shows nothing":
                return web.json_response(None)
        return answer


def new_process() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "300"])


@pytest.fixture
def podman() -> Iterator[Podman]:
    podman = Podman()
    yield podman
    for each in podman.containers.values():
        each.process.kill()
        each.process.wait()


@pytest.fixture
async def engine(podman: Podman, tmp_path: Path) -> AsyncIterator[PodmanEngine]:
    """An engine that has looked at each container once."""
    async with serve(podman, tmp_path / "s") as engine:
        for name in podman.containers:
            assert await engine.find(name) is not None
        podman.asked.clear()
        yield engine


@asynccontextmanager
async def serve(podman: Podman, socket: Path) -> AsyncIterator[PodmanEngine]:
    app = web.Application()
    app.router.add_get("/{all:.*}", podman.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()
    try:
        async with PodmanEngine.open(socket, "i", profile=socket.parent / "profile", timeout_s=5) as engine:
            yield engine
    finally:
        await runner.cleanup()


async def survey(engine: PodmanEngine) -> dict[str, Container]:
    return {each.name: each for each in await engine.list_containers()}


async def find_each(engine: PodmanEngine, podman: Podman) -> dict[str, Container | None]:
    return {name: await engine.find(name) for name in podman.containers}


async def test_survey_inspects_nothing_of_what_runs_on(podman: Podman, engine: PodmanEngine) -> None:
    podman.containers["c3"].end(7)
    listed = await survey(engine)
    assert podman.asked == {"listing": 1, podman.containers["c3"].id: 1}
    assert listed == await find_each(engine, podman)
    assert (listed["c3"].status, listed["c3"].exit_code) == (ContainerStatus.EXITED, 7)
    assert all(each.status is ContainerStatus.RUNNING for name, each in listed.items() if name != "c3")


async def test_what_was_never_looked_at_is_inspected_once(podman: Podman, tmp_path: Path) -> None:
    async with serve(podman, tmp_path / "s") as fresh:
        first = await survey(fresh)
        assert podman.asked.total() == 1 + COUNT
        assert await survey(fresh) == first == await find_each(fresh, podman)
        assert podman.asked["listing"] == 2
        assert podman.asked.total() == 2 + COUNT + COUNT


async def test_what_is_found_while_a_survey_goes_on_is_not_inspected_again(podman: Podman, tmp_path: Path) -> None:
    async with serve(podman, tmp_path / "s") as fresh:
        await find_each(fresh, podman)
        podman.asked.clear()
        await survey(fresh)
        assert podman.asked == {"listing": 1}


@pytest.mark.parametrize("trouble", ["dies", "is cut", "says something else"])
async def test_survey_whose_listing_cannot_be_read_is_unknown(
    podman: Podman, engine: PodmanEngine, trouble: str
) -> None:
    podman.trouble = trouble
    with pytest.raises(EngineUnavailable):
        await survey(engine)
    podman.trouble = ""
    assert await survey(engine) == await find_each(engine, podman)


async def test_refused_listing_is_told(podman: Podman, engine: PodmanEngine) -> None:
    podman.trouble = "refuses"
    with pytest.raises(EngineError, match="container state improper"):
        await survey(engine)


async def test_what_a_listing_has_not_is_remembered_no_more(podman: Podman, engine: PodmanEngine) -> None:
    podman.trouble = "shows nothing"
    assert await survey(engine) == {}
    podman.trouble = ""
    podman.asked.clear()
    listed = await survey(engine)
    assert podman.asked.total() == 1 + COUNT
    assert listed == await find_each(engine, podman)


@pytest.mark.parametrize(
    "listed",
    [
        {"State": "exited"},
        {"State": "paused"},
        {"Pid": 1},
        {"Pid": 0},
        {"Pid": None},
        {"StartedAt": 5},
        {"StartedAt": "now"},
        {"Names": ["c1"]},
        {"Names": ["c0", "c1"]},
        {"Names": []},
        {"Names": None},
        {"Names": [["c0"]]},
        {"Labels": None, "StartedAt": 0},
    ],
)
async def test_row_that_says_anything_else_is_not_believed(
    podman: Podman, engine: PodmanEngine, listed: dict[str, Any]
) -> None:
    changed = podman.containers["c0"]
    changed.listed = listed
    assert await survey(engine) == await find_each(engine, podman)
    assert podman.asked[changed.id] == 1


async def test_another_container_of_the_same_name_is_not_believed(podman: Podman, engine: PodmanEngine) -> None:
    podman.containers["c0"].listed = {"Id": "ef" * 32}
    assert set(await survey(engine)) == set(podman.containers) - {"c0"}  # for there is none of that id
    assert podman.asked["ef" * 32] == 1


async def test_stale_listing_of_what_ended_is_not_believed(podman: Podman, engine: PodmanEngine) -> None:
    podman.after_listing = lambda: podman.containers["c0"].end(3)
    listed = await survey(engine)
    assert (listed["c0"].status, listed["c0"].exit_code, listed["c0"].pid) == (ContainerStatus.EXITED, 3, None)
    assert listed == await find_each(engine, podman)


async def test_listing_from_before_a_restart_is_not_believed(podman: Podman, engine: PodmanEngine) -> None:
    again = podman.containers["c0"]
    podman.after_listing = again.begin
    listed = await survey(engine)
    assert (listed["c0"].pid, listed["c0"].started_at) == (again.process.pid, again.started_at)
    assert listed == await find_each(engine, podman)


async def test_what_is_removed_between_listing_and_inspection_is_absent(podman: Podman, engine: PodmanEngine) -> None:
    def remove() -> None:
        podman.containers["c0"].end(0)
        del podman.containers["c0"]

    podman.after_listing = remove
    assert set(await survey(engine)) == set(podman.containers) == {f"c{each}" for each in range(1, COUNT)}


async def test_removed_container_that_left_its_process_is_absent(podman: Podman, engine: PodmanEngine) -> None:
    gone = podman.containers.pop("c0")
    try:
        assert "c0" not in await survey(engine)
    finally:
        gone.end(0)


async def test_ten_thousand_containers_of_others_are_passed_over(podman: Podman, engine: PodmanEngine) -> None:
    theirs = podman.containers["c0"].row()
    podman.foreign = [
        theirs | {"Id": f"{each:064x}", "Labels": {"io.notebookd.instance": "j"} if each % 2 else {}}
        for each in range(10_000)
    ]
    listed = await survey(engine)
    assert podman.asked == {"listing": 1}
    assert listed == await find_each(engine, podman)
