# SPDX-License-Identifier: Apache-2.0
"""The images port on Podman: libpod over aiohttp. Closing a connection makes Podman give up what it does on it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import aiohttp

from notebookd.adapters.build_settings import BuildSettings
from notebookd.adapters.podman.streams import BAD_REQUEST, BASE, message_of, parsed
from notebookd.adapters.podman.translate import digest_of, error_of, is_mapping_race, parse_time, unavailable
from notebookd.domain.environment import has_proxy
from notebookd.errors import EngineError, ImageInUse, ImageMissing, WorkspaceFault
from notebookd.ports.images import Progress, StoredImage

DOCKER = "http://podman/v1.40"
CONFLICT = 409
NOT_FOUND = 404
LONGEST_LINE = 4 * 1024 * 1024
PREPARING = "io.notebookd.preparing"
RACES = 5
REMOVAL_TIMEOUT_S = 600.0
"""A large image has tens of thousands of files, and as many again for every uid that it was prepared for."""
_BROKEN = (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError, ValueError)
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def no_settings() -> BuildSettings:
    """Nothing but the network."""
    return BuildSettings(arguments={}, files={})


class PodmanImages:
    """An :class:`~notebookd.ports.images.ImageStore` on a libpod API socket. Open it with :meth:`open`."""

    def __init__(self, http: aiohttp.ClientSession, timeout_s: float) -> None:
        self._http = http
        self._timeout_s = timeout_s
        self.lay_settings: Callable[[], BuildSettings] = no_settings
        """Makes what a build needs to reach the world; called in a thread."""

    @classmethod
    @asynccontextmanager
    async def open(cls, socket: Path, *, timeout_s: float = 30.0) -> AsyncIterator[Self]:
        """The images of the engine at ``socket``. Does not connect yet."""
        async with aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(socket), limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, connect=timeout_s),
            read_bufsize=LONGEST_LINE,
            auto_decompress=False,
        ) as http:
            yield cls(http, timeout_s)

    async def list_images(self) -> list[StoredImage]:
        """See :meth:`ImageStore.list_images`."""
        rows = await self._ask("GET", "/images/json", "list the images", {"all": "false"})
        return [
            StoredImage(
                digest=digest_of(row["Id"]),
                names=_names(row),
                size_bytes=int(row["Size"]),
                created_at=datetime.fromtimestamp(row["Created"], UTC),
            )
            for row in rows or ()
        ]

    async def find_image(self, reference: str) -> StoredImage | None:
        """See :meth:`ImageStore.find_image`."""
        try:
            body = await self._ask("GET", f"/images/{reference}/json", f"look at image {reference}")
        except ImageMissing:
            return None
        return StoredImage(
            digest=digest_of(body["Id"]),
            names=_names(body),
            size_bytes=int(body["Size"]),
            created_at=parse_time(body["Created"]) or datetime.fromtimestamp(0, UTC),
        )

    async def pull(self, reference: str) -> AsyncIterator[Progress]:
        """See :meth:`ImageStore.pull`."""
        # Docker's road: libpod's own tells no bytes before Podman 4.4.
        async for progress in self._follow(
            f"{DOCKER}/images/create", {"fromImage": reference}, f"pull image {reference}"
        ):
            yield progress
        if await self.find_image(reference) is None:
            raise EngineError(f"cannot pull image {reference}: the engine has nothing of that name now")

    async def build(self, context: bytes, *, names: tuple[str, ...], base: str | None) -> AsyncIterator[Progress]:
        """See :meth:`ImageStore.build`. Steps reach the network as the engine does: by the host's."""
        params = [("t", name) for name in names]
        params += [
            ("dockerfile", "Containerfile"),
            ("networkmode", "host"),
            ("layers", "true"),
            ("rm", "true"),
            ("forcerm", "true"),
        ]
        settings = await asyncio.to_thread(self._settings, names[0])
        arguments = dict(settings.arguments) | ({} if base is None else {"BASE": base})
        params.append(("buildargs", json.dumps(arguments)))
        if has_proxy(settings.arguments):
            params.append(("httpproxy", "false"))  # else the engine's own would go before it
        async for progress in self._follow(
            f"{BASE}/build", params, f"build image {names[0]}", settings.added_to(context)
        ):
            yield progress

    def _settings(self, name: str) -> BuildSettings:
        try:
            return self.lay_settings()
        except (OSError, WorkspaceFault) as fault:
            raise EngineError(f"cannot build image {name}: {fault}") from fault

    async def prepare(self, digest: str, *, uid: int) -> None:
        """See :meth:`ImageStore.prepare`: Podman makes the layers over when it makes a container, and that one is
        removed without being started."""
        action = f"prepare image {digest}"
        await self._clear_preparations(action)
        body = {
            "image": digest,
            "command": ["true"],
            "labels": {PREPARING: str(uid)},
            "userns": {"nsmode": "keep-id", "value": f"uid={uid},gid={uid}"},
            "netns": {"nsmode": "none"},
            "image_volume_mode": "ignore",
        }
        try:
            for attempt in range(RACES):
                try:
                    # It takes as long as copying the image does.
                    await self._ask("POST", "/containers/create", action, body=body, timeout_s=None)
                    break
                except EngineError as fault:
                    if not is_mapping_race(fault) or attempt == RACES - 1:
                        raise
        finally:
            await asyncio.shield(self._clear_preparations(action))

    async def remove(self, reference: str) -> None:
        """See :meth:`ImageStore.remove`."""
        action = f"remove image {reference}"
        await self._ask("DELETE", f"/images/{reference}", action, {"force": "false"}, timeout_s=REMOVAL_TIMEOUT_S)

    async def _clear_preparations(self, action: str) -> None:
        """Containers of preparations: this one's, and what an earlier life left."""
        filters = json.dumps({"label": [PREPARING]})
        rows = await self._ask("GET", "/containers/json", action, {"all": "true", "filters": filters})
        for row in rows or ():
            await self._ask(
                "DELETE", f"/containers/{row['Id']}", action, {"force": "true", "ignore": "true", "v": "true"}
            )

    async def _ask(
        self,
        method: str,
        path: str,
        action: str,
        params: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        timeout_s: float | None = 0,
    ) -> Any:
        try:
            async with (
                asyncio.timeout(self._timeout_s if timeout_s == 0 else timeout_s),
                self._http.request(method, BASE + path, params=params, json=body) as response,
            ):
                answer = await response.read()
            if response.status < BAD_REQUEST:
                return parsed(answer) if answer else None
        except _BROKEN as error:
            raise unavailable(action, error) from error
        raise _refusal(action, response.status, message_of(answer))

    async def _follow(
        self, url: str, params: Any, action: str, context: bytes | None = None
    ) -> AsyncIterator[Progress]:
        headers = {} if context is None else {"Content-Type": "application/x-tar"}
        try:
            async with self._http.post(url, params=params, data=context, headers=headers) as response:
                if response.status >= BAD_REQUEST:
                    raise _refusal(action, response.status, message_of(await response.read()))
                async for line in response.content:
                    if line.strip() and (progress := _progress(parsed(line), action)) is not None:
                        yield progress
        except _BROKEN as error:
            raise unavailable(action, error) from error


def _progress(row: Mapping[str, Any], action: str) -> Progress | None:
    """A line of a pull or a build. Raises EngineError when it is the one that says that it failed."""
    if row.get("error"):
        raise error_of(action, str(row["error"]).strip())
    text = _TERMINAL_CODES.sub("", str(row.get("stream") or row.get("status") or "")).strip()
    detail = row.get("progressDetail") or {}
    if not text:
        return None
    where = row.get("id")
    return Progress(
        text=f"{text} {where}" if where else text,
        done_bytes=detail.get("current"),
        total_bytes=detail.get("total"),
    )


def _refusal(action: str, status: int, text: str) -> EngineError:
    if status == CONFLICT:
        return ImageInUse(f"cannot {action}: {text}")
    if status == NOT_FOUND:
        return ImageMissing(f"cannot {action}: {text}")
    return error_of(action, text)


def _names(row: Mapping[str, Any]) -> tuple[str, ...]:
    names = row.get("RepoTags") or row.get("Names") or ()
    return tuple(name for name in names if "<none>" not in name)
