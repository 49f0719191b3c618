# SPDX-License-Identifier: Apache-2.0
"""An account's voice: a process of its own that asks what it is told to, so that the kernel says who is asking."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

_SPEAK = """
import http.client, json, socket, sys
class Local(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(sys.argv[1])
for line in sys.stdin:
    wish = json.loads(line)
    try:
        there = Local("localhost")
        body = None if wish["body"] is None else json.dumps(wish["body"])
        there.request(wish["method"], wish["path"], body, wish["headers"])
        answer = there.getresponse()
        said = [answer.status, answer.read(1 << 20).decode(errors="replace")]
        there.close()
    except OSError as fault:
        said = [0, type(fault).__name__]
    print(json.dumps(said), flush=True)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer; status 0 is a socket that would not be opened."""

    status: int
    text: str

    @property
    def body(self) -> Any:
        """What the JSON holds; None where there is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Voice:
    """An account that speaks."""

    process: asyncio.subprocess.Process

    async def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Said:
        """Ask on a connection of its own, and read at most a mebibyte of the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        wish = {"method": method, "path": path, "body": body, "headers": dict(headers or {})}
        self.process.stdin.write(json.dumps(wish).encode() + b"\n")
        status, text = json.loads(await self.process.stdout.readline())
        return Said(status=status, text=text)


@asynccontextmanager
async def voice_of(account: str, socket: str, groups: Sequence[int] | None = None) -> AsyncIterator[Voice]:
    """The voice of an account at a socket, in its groups or in those. Only root can lend it one."""
    known = pwd.getpwnam(account)
    process = await asyncio.create_subprocess_exec(
        "/usr/bin/python3",
        "-I",
        "-c",
        _SPEAK,
        socket,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=1 << 24,
        user=known.pw_uid,
        group=known.pw_gid,
        extra_groups=os.getgrouplist(account, known.pw_gid) if groups is None else groups,
        cwd="/",
    )
    try:
        yield Voice(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
