# SPDX-License-Identifier: Apache-2.0
"""The gateway's port before a house, where the admin opened it to tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from multidict import CIMultiDict

from notebookd.api.peers import PeerPolicy
from notebookd.config import parse_config
from notebookd.gateway.listeners import listening
from notebookd.gateway.main import running
from notebookd.gateway.patience import Patience
from notebookd.testing.house import serve_api
from tests.api.caller import Api, Said, check
from tests.api.people import ADMINS


@dataclass
class Door:
    """The gateway's port, and a token of root's."""

    api: Api
    port: int
    client: aiohttp.ClientSession
    token: str

    def ask(self, method: str, target: str, *, host: str = "localhost", headers: Any = None, **more: Any) -> Any:
        sent = CIMultiDict({"Host": f"{host}:{self.port}", "Authorization": f"Bearer {self.token}", **(headers or {})})
        url = aiohttp.client.URL(f"http://127.0.0.1:{self.port}{target}", encoded=True)
        sent = CIMultiDict((name, value) for name, value in sent.items() if value)
        return self.client.request(method, url, headers=sent, **more)

    async def say(self, method: str, target: str, **more: Any) -> Said:
        async with self.ask(method, target, **more) as answer:
            body = await answer.json() if answer.content_type == "application/json" else None
            said = Said(answer.status, body, answer.headers)
        if body is not None:
            check(said, target)
        await self.api.house.quiet()
        return said


@asynccontextmanager
async def door_of(
    api: Api, public_folder: Path, settings: dict[str, Any], patience: Patience, role: str = "ai_training_operator"
) -> AsyncIterator[Door]:
    """The port, and a token of root's that may do what the role may."""
    config = parse_config({"paths": {"runtime": str(public_folder)}, "gateway": settings}, source=None)
    (public_folder / "gateway").mkdir()
    (public_folder / "activity").mkdir()
    peers = PeerPolicy(member_group="root", admin_group=ADMINS, nobodies=frozenset())
    made = await api.call("POST", "/v1/token", {"name": "door", "role": role})
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serve_api(api.house, peers, config.paths.bearers, bearers_only=True))
        sockets = stack.enter_context(listening("127.0.0.1", 0, environ={}))
        await stack.enter_async_context(running(config, sockets, now=lambda: 1_700_000_000.0, patience=patience))
        client = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        yield Door(api, sockets.ports[0].getsockname()[1], client, made.body["status"]["value"])
