# SPDX-License-Identifier: Apache-2.0
"""Calling the API, and what holds of every answer."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from notebookd.api.peers import PeerPolicy
from notebookd.domain.ids import NotebookId
from notebookd.errors import NotebookdError
from notebookd.testing.engine import FakeContainer
from notebookd.testing.house import House, World, open_house, serve_api
from tests.api.people import ADMINS, MEMBERS, People, Person

SPEC: dict[str, Any] = {"env": {"editorId": "jupyterlab", "frameworkId": "conda"}}
NULLS_DECLARED = ("/v1/gpu", "/v1/queue")
NOWHERE = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Said:
    """An answer."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        """The refusal's code."""
        return str(self.body["code"])

    @property
    def faults(self) -> dict[str, str]:
        """The refusal's faults, by path."""
        return {each["path"]: each["message"] for each in self.body["details"]["faults"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A house and its socket."""

    house: House
    socket: Path
    session: aiohttp.ClientSession

    @property
    def world(self) -> World:
        """The machine below."""
        return self.house.world

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Said:
        """Ask, wait until nothing happens any more, and check what holds of every answer."""
        data = io.BytesIO(raw or b"") if body is None else json.dumps(body).encode()
        async with self.session.request(method, f"http://localhost{path}", data=data, headers=headers) as answer:
            text = await answer.read()
            said = Said(answer.status, json.loads(text) if text else None, answer.headers)
        check(said, path)
        await self.house.quiet()
        return said

    async def ask_as(self, person: Person, method: str, path: str, body: Any = None, **headers: str) -> Said:
        """Ask as somebody else."""
        status, answer = await person.call(self.socket, method, path, body, headers)
        said = Said(status, answer or None, {"Content-Type": "application/json"})
        if status:
            check(said, path)
        await self.house.quiet()
        return said

    async def create(self, **changes: Any) -> str:
        """A notebook that runs; its id."""
        said = await self.call("POST", "/v1/notebook", {**SPEC, **changes})
        assert said.status == 200, said.body
        return str(said.body["id"])

    async def get(self, notebook: str) -> dict[str, Any]:
        """A notebook as it is now."""
        said = await self.call("GET", f"/v1/notebook/{notebook}")
        assert said.status == 200, said.body
        return dict(said.body)

    async def state(self, notebook: str) -> str:
        """Its state."""
        return str((await self.get(notebook))["status"]["state"])

    async def order(self, notebook: str, verb: str) -> Said:
        """PUT one of start, stop, restart."""
        return await self.call("PUT", f"/v1/notebook/{notebook}/{verb}")

    def container(self, notebook: str) -> FakeContainer:
        """Its only container."""
        (found,) = (c for c in self.world.engine.containers.values() if c.labels["io.notebookd.notebook"] == notebook)
        return found

    def token(self, notebook: str) -> str:
        """What opens its editor."""
        entry = self.house.store.find_entry(NotebookId(notebook))
        assert entry is not None
        return str(entry.notebook.token)


def check(said: Said, path: str) -> None:
    """Every answer is JSON without nulls or nothing at all; every refusal has the one shape and a known code."""
    if said.body is None:
        assert said.status == 204, f"{path}: {said.status} without a body"
        return
    assert said.headers["Content-Type"].partition(";")[0] == "application/json"
    if path.partition("?")[0] not in NULLS_DECLARED:
        assert list(nulls(said.body)) == [], f"{path} answers null"
    if said.status >= 400:
        assert said.body.keys() <= {"message", "code", "hint", "details"}
        assert said.body["message"].startswith("cannot "), said.body
        assert said.code in codes(), said.code
        assert "Traceback" not in json.dumps(said.body)


def codes(kind: type[NotebookdError] = NotebookdError) -> set[str]:
    """The codes that there are."""
    return {kind.code}.union(*map(codes, kind.__subclasses__()))


def nulls(value: Any, path: str = "$") -> Iterator[str]:
    """Where a value is null."""
    if value is None:
        yield path
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from nulls(each, f"{path}.{key}")
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from nulls(each, f"{path}[{place}]")


@asynccontextmanager
async def open_api(world: World, socket: Path, people: People | None) -> AsyncIterator[Api]:
    """Open a house and serve it; to people of their groups, where there are some."""
    peers = PeerPolicy(
        member_group=MEMBERS if people else "root",
        admin_group=ADMINS,
        nobodies=frozenset({people.service.uid} if people else {}),
    )
    async with (
        open_house(world) as house,
        serve_api(house, peers, socket) as path,
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
    ):
        await house.quiet()
        yield Api(house=house, socket=path, session=session)
