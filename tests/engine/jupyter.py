# SPDX-License-Identifier: Apache-2.0
"""A real JupyterLab as its user reaches it: kernels, terminals, cells, a tab that is open."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.engine.live import Machine

RUN_CELL = """
import sys, jupyter_client
client = jupyter_client.BlockingKernelClient(connection_file=jupyter_client.find_connection_file(sys.argv[1]))
client.load_connection_file()
client.start_channels()
client.wait_for_ready(timeout=30)
client.execute(sys.argv[2])
client.stop_channels()
"""


def begin(live: Machine, notebook: str, what: str) -> dict[str, Any]:
    """A new kernel or terminal, as a browser would ask for one."""
    answer = live.fetch(notebook, f"/api/{what}", token=live.token(notebook), method="POST", body="{}")
    assert answer.status in {200, 201}, answer
    made: dict[str, Any] = json.loads(answer.body)
    return made


def busy(live: Machine, notebook: str, kernel: str, cell: str) -> None:
    """Have a kernel run a cell, without a browser and without waiting for its end."""
    live.execute(notebook, "python3", "-c", RUN_CELL, kernel, cell)


@asynccontextmanager
async def kernel_channel(live: Machine, notebook: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """The websocket of a fresh kernel, through the gateway."""
    host, port = live.gateway
    headers = {"Host": f"{notebook}.localhost:{port}", "Authorization": f"Bearer {live.token(notebook)}"}
    base = f"http://{host}:{port}/api/kernels"
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.post(base, json={}) as response:
            assert response.status == 201
            kernel = (await response.json())["id"]
        async with session.ws_connect(f"{base}/{kernel}/channels?session_id={uuid.uuid4()}") as channel:
            yield channel


@asynccontextmanager
async def terminal_channel(
    live: Machine, notebook: str, terminal: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """The websocket of a terminal, through the gateway; closed as a tab is."""
    host, port = live.gateway
    headers = {"Host": f"{notebook}.localhost:{port}", "Authorization": f"Bearer {live.token(notebook)}"}
    url = f"http://{host}:{port}/terminals/websocket/{terminal}"
    async with aiohttp.ClientSession(headers=headers) as session, session.ws_connect(url) as channel:
        yield channel
