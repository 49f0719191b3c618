# SPDX-License-Identifier: Apache-2.0
"""Runs inside the machine, on the package's own Python: a terminal of a notebook, over one websocket by the gateway.

``terminal.py PORT ID TOKEN``: each line of stdin is said to the terminal's shell; ``heard LINE`` once it echoed what
only a shell that lives would make of it; ``lost`` and the end when the websocket breaks.
"""

from __future__ import annotations

import asyncio
import json
import sys

import aiohttp


async def listen(terminal: aiohttp.ClientWebSocketResponse, word: str) -> bool:
    """Whether the shell says ``word`` before the websocket breaks."""
    heard = ""
    async for message in terminal:
        if message.type is not aiohttp.WSMsgType.TEXT:
            return False
        kind, *rest = json.loads(message.data)
        heard += rest[0] if kind == "stdout" else ""
        if word in heard:
            return True
    return False


async def main(port: str, notebook: str, token: str) -> None:
    headers = {"Host": f"{notebook}.localhost:{port}", "Authorization": f"token {token}"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:
        async with session.post("/api/terminals") as made:
            made.raise_for_status()
            name = (await made.json())["name"]
        async with session.ws_connect(f"/terminals/websocket/{name}") as terminal:
            print("open", flush=True)
            while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
                await terminal.send_str(json.dumps(["stdin", f"echo {line}-$((40+2))\r"]))
                print(f"heard {line}" if await listen(terminal, f"{line}-42") else "lost", flush=True)


asyncio.run(main(*sys.argv[1:]))
