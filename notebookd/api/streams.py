# SPDX-License-Identifier: Apache-2.0
"""Routes that stream: logs, events, exec."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, nullcontext, suppress
from datetime import datetime
from typing import Annotated, Self

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from notebookd import wire
from notebookd.api import media, shapes, wishes
from notebookd.api.call import Call, answer, notebook_id_of
from notebookd.api.turns import TURNS
from notebookd.domain.container import container_name
from notebookd.domain.entry import Entry
from notebookd.domain.event import Event
from notebookd.errors import Conflict, ContainerMissing, EngineError, EngineUnavailable, InvalidRequest
from notebookd.ports.clock import Clock
from notebookd.ports.engine import ContainerStatus, ExecSession, LogLine
from notebookd.ports.store import Store
from notebookd.service.commands import record_command

logger = logging.getLogger(__name__)

_SLOW_READER_S = 10.0
_EVENTS_AT_ONCE, _LINES_AT_ONCE = 500, 50
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
    lines = _lines(call, entry, since, None if tail < 0 else tail, follow=follow)
    if follow:
        async with JsonLines.open(call) as stream, aclosing(lines):  # type: ignore[type-var]
            async for line in lines:
                await stream.send(wire.encode(_log_line(line)))
        return stream.response
    page = [_log_line(line) async for line in lines]
    return answer(wire.LogPage(logs=page, last_activity=page[-1].timestamp if page else wire.UNSET))


def _log_line(line: LogLine) -> wire.LogLine:
    return wire.LogLine(timestamp=wire.rfc3339(line.at), content=line.content)


async def _lines(
    call: Call, entry: Entry, since: datetime | None, tail: int | None, *, follow: bool
) -> AsyncIterator[LogLine]:
    """The output. When its container ends, Podman lets go of a follower before the last lines: those are read after."""
    last, alike = since, 0
    async for line in _output(call, entry, since, tail, follow=follow):
        alike = alike + 1 if line.at == last else 1
        last, tail = line.at, None
        yield line
    if follow:
        async for line in _output(call, entry, last, tail, follow=False):
            if last is None or line.at > last or (line.at == last and alike <= 0):
                yield line
            elif line.at == last:
                alike -= 1


async def _output(
    call: Call, entry: Entry, since: datetime | None, tail: int | None, *, follow: bool
) -> AsyncIterator[LogLine]:
    """The running container's output, or what was kept of the last one's."""
    services = call.services
    if entry.run.launched_at is not None:
        try:
            lines = services.engine.logs(container_name(entry.run), since=since, tail=tail, follow=follow)
            async for line in lines:
                yield line
            return
        except ContainerMissing:
            pass
    skipped = 0 if tail is None else await _count(_kept(call, entry, since)) - tail
    async for line in _kept(call, entry, since):
        skipped -= 1
        if skipped < 0:
            yield line


async def _kept(call: Call, entry: Entry, since: datetime | None) -> AsyncIterator[LogLine]:
    async with aclosing(call.services.files.read_log(entry.notebook.id, entry.run.id)) as lines:
        async for line in lines:
            if since is None or line.at >= since:
                yield line


async def _count(lines: AsyncIterator[LogLine]) -> int:
    count = 0
    async for _ in lines:
        count += 1
    return count


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
    notebook_id = notebook_id_of(notebook) if notebook else None
    owner = None if call.actor.admin else call.actor.name
    store = call.services.store
    _require_kept(store, after)
    if since is not None:
        after = max(after, _last_before(store, since))
    kept: deque[Event] | None = deque(maxlen=limit) if limit else None
    with call.services.telemetry.follower() if follow else nullcontext():
        async with JsonLines.open(call) as stream:
            while True:
                if after and after < store.first_event_id() - 1:
                    raise ConnectionAbortedError("events went before this reader took them")
                newest = store.last_event_id()
                async with call.request.app[TURNS].of(call.actor.name):
                    batch = store.list_events(after=after, limit=_EVENTS_AT_ONCE, notebook_id=notebook_id, owner=owner)
                    wanted = [event for event in batch if _concerns(call, event) and _is_of(event, since, types)]
                    lines = [wire.encode(shapes.event(event)) for event in wanted] if kept is None else []
                for first in range(0, len(lines), _LINES_AT_ONCE):
                    await stream.send(b"\n".join(lines[first : first + _LINES_AT_ONCE]))
                if kept is not None:
                    kept.extend(wanted)
                if batch:
                    after = batch[-1].id
                    continue
                for event in kept or ():
                    await stream.send(wire.encode(shapes.event(event)))
                kept = None
                if not follow:
                    break
                after = max(after, newest)
                await store.next_event(after)
    return stream.response


def _is_of(event: Event, since: datetime | None, types: Sequence[str]) -> bool:
    """Whether it is what was asked for: ``gpu`` asks for ``gpu.xid`` and its like."""
    if since is not None and event.at < since:
        return False
    return not types or any(event.type == each or event.type.startswith(f"{each}.") for each in types)


def _last_before(store: Store, at: datetime) -> int:
    """The id after which to begin, to miss nothing that happened since then. Ids and times increase together."""
    low, high = max(0, store.first_event_id() - 1), store.last_event_id()
    while low < high:
        middle = (low + high) // 2
        found = store.list_events(after=middle, limit=1, notebook_id=None, owner=None)
        if found and found[0].at < at:
            low = found[0].id
        else:
            high = middle
    return low


def _require_kept(store: Store, after: int) -> None:
    """Whoever goes on after an event shall know when some that followed are not kept any more."""
    first = store.first_event_id()
    if after and after < first - 1:
        raise Conflict(
            f"cannot go on after event {after}: the oldest that is kept is {first}",
            hint="what happened in between is not known any more: begin without `after`",
            details={"first": first},
        )


def _concerns(call: Call, event: Event) -> bool:
    """Whether the caller may know of an event of its own: not, when it is of no notebook that its selector picks."""
    selector = call.actor.selector
    if selector is None:
        return True
    labels = call.services.store.find_labels(event.notebook_id) if event.notebook_id else None
    return labels is not None and selector.picks(labels)


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
    if entry.run.container_pid is None or not entry.run.active:
        raise Conflict(f"cannot run a command in notebook {entry.notebook.id}: it does not run")
    socket = web.WebSocketResponse(max_msg_size=_LARGEST_FRAME, compress=False, heartbeat=30)
    if not socket.can_prepare(call.request):
        raise InvalidRequest("cannot run a command: this is a websocket, ask with Upgrade")
    name = container_name(entry.run)
    await record_command(call.services.store, call.services.clock.now(), call.actor, entry, command)
    async with AsyncExitStack() as stack:
        begun = call.services.engine.exec(name, command, tty=tty, stdin=stdin, env=env, folder=folder)
        session = await _begin(call, stack, name, begun)
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


async def _begin(
    call: Call, stack: AsyncExitStack, name: str, session: AbstractAsyncContextManager[ExecSession]
) -> ExecSession:
    """Start the command. A container that ends meanwhile is a conflict, not a fault of the engine."""
    try:
        return await stack.enter_async_context(session)
    except EngineUnavailable:
        raise
    except EngineError as fault:
        container = await call.services.engine.find(name)
        if container is not None and container.status is ContainerStatus.RUNNING:
            raise
        raise Conflict(f"cannot run a command in notebook {call.notebook_id}: it does not run") from fault


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
