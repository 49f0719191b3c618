# SPDX-License-Identifier: Apache-2.0
"""Routes that stream: logs, events, exec."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, nullcontext, suppress
from typing import Annotated, Self

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from notebookd import wire
from notebookd.api import media, shapes, wishes
from notebookd.api.call import Call, answer, notebook_id_of
from notebookd.api.turns import TURNS
from notebookd.domain.event import Event
from notebookd.errors import EngineError, InvalidRequest
from notebookd.ports.clock import Clock
from notebookd.ports.engine import ExecSession, LogLine
from notebookd.service.events import EventQuestion

logger = logging.getLogger(__name__)

_SLOW_READER_S = 10.0
_LINES_AT_ONCE = 50
_HEARTBEAT_S = 20.0
_STDIN, _END, _RESIZE = 0, 3, 4
_LARGEST_FRAME = 1024 * 1024


async def log(call: Call) -> web.StreamResponse:
    """GET /v1/notebook/{id}/log."""
    entry = call.entry("read the log of")
    query = wishes.Query(call.request.query, "read the log")
    since = query.moment("since", call.services.clock.now())
    tail = query.integer("tail", -1, least=0, most=1_000_000)
    follow = query.flag("follow")
    query.done()
    lines = call.services.logs.lines(entry, since, None if tail < 0 else tail, follow=follow)
    if follow:
        async with JsonLines.open(call) as stream, aclosing(lines):  # type: ignore[type-var]
            async for line in lines:
                await stream.send(wire.encode(_log_line(line)))
        return stream.response
    page = [_log_line(line) async for line in lines]
    return answer(wire.LogPage(logs=page, last_activity=page[-1].timestamp if page else wire.UNSET))


def _log_line(line: LogLine) -> wire.LogLine:
    return wire.LogLine(timestamp=wire.rfc3339(line.at), content=line.content)


async def events(call: Call) -> web.StreamResponse:
    """GET /v1/event: JSON lines by increasing id, from after ``after``."""
    query = wishes.Query(call.request.query, "read the events")
    after = query.integer("after", 0, least=0)
    since = query.moment("since", call.services.clock.now())
    limit = query.integer("limit", 0, least=1, most=100_000)
    follow = query.flag("follow")
    query.done()
    types = query.every("type")
    notebook = call.request.query.get("notebook")
    question = EventQuestion(notebook_id=notebook_id_of(notebook) if notebook else None, since=since, types=types)
    record = call.services.events
    after = record.begin(after, question)
    kept: deque[Event] | None = deque(maxlen=limit) if limit else None
    with call.services.telemetry.follower() if follow else nullcontext():
        async with JsonLines.open(call) as stream:
            while True:
                if not record.kept(after):
                    raise ConnectionAbortedError("events went before this reader took them")
                newest = record.newest()
                async with call.request.app[TURNS].of(call.actor.name):
                    wanted, last = record.read(call.actor, question, after)
                    lines = [wire.encode(shapes.event(event)) for event in wanted] if kept is None else []
                for first in range(0, len(lines), _LINES_AT_ONCE):
                    await stream.send(b"\n".join(lines[first : first + _LINES_AT_ONCE]))
                if kept is not None:
                    kept.extend(wanted)
                if last is not None:
                    after = last
                    continue
                for event in kept or ():
                    await stream.send(wire.encode(shapes.event(event)))
                kept = None
                if not follow:
                    break
                after = max(after, newest)
                await record.next(after)
    return stream.response


class JsonLines:
    """An open answer of JSON lines, kept alive by empty ones. Its reader is cut off, never skipped, when it does not
    take a line in time; one that left is noticed at the next beat at the latest."""

    def __init__(self, response: web.StreamResponse) -> None:
        self.response = response

    @classmethod
    @asynccontextmanager
    async def open(cls, call: Call, *, beat_s: float = _HEARTBEAT_S) -> AsyncIterator[Self]:
        """Begin the answer; beats while the block runs, and ends it quietly when the reader is gone."""
        headers = {"Content-Type": media.content_type(call.request, media.JSON_LINES)}
        stream = cls(web.StreamResponse(headers=headers))
        await stream.response.prepare(call.request)
        try:
            async with asyncio.TaskGroup() as tasks:
                beating = tasks.create_task(stream._beat(call.services.clock, beat_s))
                yield stream
                beating.cancel()
        except* (TimeoutError, ConnectionError):
            stream._cut(call)
        except* Exception:  # no refusal can follow the headers: that it breaks off must say it
            logger.exception("the answer to GET %s broke off", call.request.path)
            stream._cut(call)

    def _cut(self, call: Call) -> None:
        if call.request.transport is not None:
            call.request.transport.abort()

    async def send(self, line: bytes) -> None:
        """Write one line."""
        async with asyncio.timeout(_SLOW_READER_S):
            await self.response.write(line + b"\n")

    async def _beat(self, clock: Clock, every_s: float) -> None:
        while True:
            await clock.sleep(every_s)
            await self.send(b"")


_Cells = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class _Resize(msgspec.Struct):
    width: _Cells
    height: _Cells


async def run_in_notebook(call: Call) -> web.StreamResponse:
    """GET /v1/notebook/{id}/exec: a command's streams over a websocket."""
    entry = call.entry("run a command in")
    query = wishes.Query(call.request.query, "run a command")
    command = tuple(query.every("command"))
    stdin, tty = query.flag("stdin"), query.flag("tty")
    env, folder = query.pairs("env"), query.folder("workingDir")
    query.done()
    if not command:
        raise InvalidRequest("cannot run a command: there is no `command` in the query")
    if any("\0" in word for word in command):
        raise InvalidRequest("cannot run a command: there is a NUL in it")
    commands = call.services.commands
    commands.require_running(entry)
    socket = web.WebSocketResponse(max_msg_size=_LARGEST_FRAME, compress=False, heartbeat=30)
    if not socket.can_prepare(call.request):
        raise InvalidRequest("cannot run a command: this is a websocket, ask with Upgrade")
    await commands.record(call.actor, entry, command)
    async with commands.run(entry, command, tty=tty, stdin=stdin, env=env, folder=folder) as session:
        await socket.prepare(call.request)
        try:
            async with asyncio.TaskGroup() as tasks:
                typing = tasks.create_task(_take(socket, session, stdin=stdin))
                async for output in session.output():
                    await socket.send_bytes(bytes([output.stream]) + output.data)
                code = await session.exit_code()
                await socket.send_bytes(bytes([_END]) + msgspec.json.encode({"exitCode": code}))
                typing.cancel()
        except* (_Left, ConnectionError):
            pass
        except* Exception as faults:  # no refusal can follow the upgrade: that it breaks off must say it
            logger.warning("a command in notebook %s broke off", entry.notebook.id, exc_info=faults)
            await socket.close(code=WSCloseCode.INTERNAL_ERROR)
        await socket.close()
    return socket


class _Left(Exception):
    """The client is gone: nobody waits for the command's end."""


async def _take(socket: web.WebSocketResponse, session: ExecSession, *, stdin: bool) -> None:
    """Pass on what the client sends. What comes behind the end of the input, or where there is none, is passed over."""
    async for message in socket:
        if message.type is not WSMsgType.BINARY or not message.data:
            continue
        kind, data = message.data[0], message.data[1:]
        if kind == _STDIN and stdin:
            stdin = bool(data)
            await (session.write(data) if data else session.close_stdin())
        elif kind == _RESIZE and (size := _size(data)) is not None:
            with suppress(EngineError):  # it has no terminal, or it has just ended: that its output tells
                await session.resize(width=size.width, height=size.height)
    raise _Left


def _size(data: bytes) -> _Resize | None:
    try:
        return msgspec.json.decode(data, type=_Resize)
    except msgspec.MsgspecError:
        return None
