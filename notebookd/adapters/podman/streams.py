# SPDX-License-Identifier: Apache-2.0
"""What of libpod takes long, over aiohttp: events, logs, stop. Each has a connection of its own."""

from __future__ import annotations

import asyncio
import json
from codecs import getincrementaldecoder
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from notebookd.adapters.podman.translate import error_of, parse_time, unavailable
from notebookd.ports.engine import EVENTS_CONNECTED, LABEL_PREFIX, EngineEvent, LogLine

BASE = "http://podman/v4.0.0/libpod"
READ_BUFFER = 1024 * 1024
LINE_BYTES = 64 * 1024
FRAME_HEADER = 8
BAD_REQUEST = 400
STREAM_NAMES = {1: "stdout", 2: "stderr"}
_BROKEN = (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, ValueError)


def parse_header(header: bytes) -> tuple[int, int]:
    """Stream number and length of a frame (one byte, three of padding, four of length, big-endian)."""
    return header[0], int.from_bytes(header[4:FRAME_HEADER], "big")


class LineJoiner:
    """Makes lines of log frames.

    A frame is a timestamp, a space and a piece of output. Conmon cuts long lines at 8 KiB, also within a character:
    only the frame that ends in a newline ends a line. A piece without an end for 64 KiB is given out as it is, less the
    character that is not whole yet. U+FFFD stands for what is not UTF-8.
    """

    def __init__(self) -> None:
        self._open: dict[str, tuple[datetime, bytes]] = {}

    def feed(self, stream: str, frame: bytes) -> LogLine | None:
        """The line that this frame completes, if it does."""
        stamp, _, text = frame.partition(b" ")
        at = parse_time(stamp.decode("utf-8", "replace")) or datetime.fromtimestamp(0, UTC)
        began, before = self._open.pop(stream, (at, b""))
        joined = before + text.removesuffix(b"\n")
        if text.endswith(b"\n"):
            return LogLine(at=began, stream=stream, content=joined.decode("utf-8", "replace"))
        if len(joined) < LINE_BYTES:
            self._open[stream] = (began, joined)
            return None
        decoder = getincrementaldecoder("utf-8")("replace")
        content, half = decoder.decode(joined), decoder.getstate()[0]
        if half:
            self._open[stream] = (at, half)
        return LogLine(at=began, stream=stream, content=content)

    def rest(self) -> list[LogLine]:
        """Lines that were still open at the end."""
        lines = [
            LogLine(at=at, stream=stream, content=text.decode("utf-8", "replace"))
            for stream, (at, text) in self._open.items()
        ]
        self._open.clear()
        return lines


class Streams:
    """Opens streams of the engine at ``socket``."""

    def __init__(self, socket: Path, *, timeout_s: float) -> None:
        self._socket = socket
        self._timeout_s = timeout_s
        self._http = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(socket), limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, connect=timeout_s),
            read_bufsize=READ_BUFFER,
            auto_decompress=False,
        )

    async def aclose(self) -> None:
        """Close what is open."""
        await self._http.close()

    async def events(self, instance: str) -> AsyncIterator[EngineEvent]:
        """Events of the instance's containers, first the one that tells that the stream stands."""
        filters = json.dumps({"type": ["container"], "label": [f"{LABEL_PREFIX}instance={instance}"]})
        async with self._open("/events", {"stream": "true", "filters": filters}, "follow events") as response:
            yield EngineEvent(container="", kind=EVENTS_CONNECTED)
            async for line in _lines(response):
                yield event_of(parsed(line))
        raise unavailable("follow events", "the stream ended")

    async def logs(
        self, container_id: str, *, since: datetime | None, tail: int | None, follow: bool
    ) -> AsyncIterator[LogLine]:
        """A container's lines; ``since`` is checked here again, as engines are not exact about it."""
        params = {"stdout": "true", "stderr": "true", "timestamps": "true", "follow": "true" if follow else "false"}
        if since is not None:
            params["since"] = str(int(since.timestamp()))
        if tail is not None:
            params["tail"] = str(tail)
        joiner = LineJoiner()
        floor = since.replace(microsecond=0) if since else None
        async with self._open(f"/containers/{container_id}/logs", params, "read logs") as response:
            async for stream, data in _frames(response):
                line = joiner.feed(STREAM_NAMES.get(stream, "stdout"), data)
                if line is not None and (floor is None or line.at >= floor):
                    yield line
            for line in joiner.rest():
                yield line

    @asynccontextmanager
    async def output(self, container_id: str) -> AsyncIterator[Callable[[float], Awaitable[bool]]]:
        """Yields a call that waits until a container wrote something, but so many seconds at most, and returns whether
        it may still write. Podman begins to answer when there is output, so a request is sent here, and its answer is
        read in the call: of the version of HTTP in which an answer ends with its connection."""
        action = "read logs"
        query = "stdout=true&stderr=true&follow=true&tail=0"
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await asyncio.open_unix_connection(str(self._socket))
        except (OSError, TimeoutError) as error:
            raise unavailable(action, error) from error
        try:
            path = f"{urlsplit(BASE).path}/containers/{container_id}/logs?{query}"
            writer.write(f"GET {path} HTTP/1.0\r\nHost: podman\r\n\r\n".encode())

            status = b""

            async def wait(seconds: float) -> bool:
                nonlocal status
                try:
                    async with asyncio.timeout(seconds):
                        status = status or await reader.readline()
                        data = await reader.read(READ_BUFFER)
                except TimeoutError:
                    return True
                except OSError as error:
                    raise unavailable(action, error) from error
                if status and b" 200 " not in status:
                    raise error_of(action, message_of(data.partition(b"\r\n\r\n")[2]))
                return bool(data)

            yield wait
        finally:
            writer.close()

    async def stop(self, container_id: str, *, grace_s: int, action: str) -> None:
        """Podman's own stop. It answers when the container has ended, so that it must not hold a worker thread, and
        a caller who gives up gets away at once."""
        try:
            async with asyncio.timeout(grace_s + self._timeout_s):
                params = {"timeout": str(grace_s), "ignore": "true"}
                async with self._http.post(f"{BASE}/containers/{container_id}/stop", params=params) as response:
                    body = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unavailable(action, error) from error
        if response.status >= BAD_REQUEST:
            raise error_of(action, message_of(body))

    @asynccontextmanager
    async def _open(self, path: str, params: Mapping[str, str], action: str) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._http.get(BASE + path, params=params)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unavailable(action, error) from error
        try:
            if response.status >= BAD_REQUEST:
                raise error_of(action, message_of(await response.read()))
            yield response
        except _BROKEN as error:
            raise unavailable(action, error) from error
        finally:
            response.close()


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for line in response.content:
        if line.strip():
            yield line


async def _frames(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[int, bytes]]:
    while True:
        try:
            header = await response.content.readexactly(FRAME_HEADER)
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            return
        stream, length = parse_header(header)
        yield stream, await response.content.readexactly(length)


def event_of(body: Mapping[str, Any]) -> EngineEvent:
    """Read a libpod event; its attributes hold the labels among others."""
    attributes: Mapping[str, str] = body["Actor"]["Attributes"]
    return EngineEvent(
        container=attributes.get("name", ""),
        kind=body["Action"],
        labels={key: value for key, value in attributes.items() if key.startswith(LABEL_PREFIX)},
    )


def parsed(body: bytes) -> Any:
    """JSON of the engine; U+FFFD stands for what is not UTF-8 in a name or a message. Raises ValueError."""
    return json.loads(body.decode("utf-8", "replace"))


def message_of(body: bytes) -> str:
    """What a refusal of the engine says."""
    try:
        return str(parsed(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode("utf-8", "replace")
