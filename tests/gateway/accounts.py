# SPDX-License-Identifier: Apache-2.0
"""Connections that other accounts make. Only root can lend them."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass

from .conftest import Deck


def socket_of(uid: int, family: int = socket.AF_INET) -> socket.socket:
    """A socket that an account makes."""
    if uid == os.geteuid():
        return socket.socket(family)
    os.seteuid(uid)
    try:
        return socket.socket(family)
    finally:
        os.seteuid(0)


@dataclass
class Answer:
    status: int
    head: str
    page: str


async def ask_as(uid: int, deck: Deck, target: str, *fields: str, method: str = "GET") -> Answer:
    """One request over a connection of an account's."""
    connection = socket_of(uid)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", deck.port))
    reader, writer = await asyncio.open_connection(sock=connection)
    lines = (f"{method} {target} HTTP/1.1", f"Host: {deck.base()}", "Connection: close", *fields, "", "")
    writer.write("\r\n".join(lines).encode())
    async with asyncio.timeout(5):
        head, _, page = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return Answer(status=int(head.split()[1]), head=head, page=page)
