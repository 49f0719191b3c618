# SPDX-License-Identifier: Apache-2.0
"""A request with everything a handler needs, and how handlers answer."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aiohttp import web

from notebookd import wire
from notebookd.config import Config
from notebookd.domain.actor import Actor
from notebookd.domain.entry import Entry
from notebookd.domain.ids import NotebookId
from notebookd.domain.quota import QuotaBook
from notebookd.errors import NotFound, TooLarge
from notebookd.ports.clock import Clock
from notebookd.ports.directory import Directory
from notebookd.ports.telemetry import Telemetry
from notebookd.service.accounts import Accounts
from notebookd.service.archives import Archives
from notebookd.service.commands import Commands
from notebookd.service.datastores import Datastores
from notebookd.service.events import Events
from notebookd.service.gpus import GpuBoard
from notebookd.service.images import Images
from notebookd.service.listing import Listing
from notebookd.service.loads import Loads
from notebookd.service.logs import Logs
from notebookd.service.machine import Machine
from notebookd.service.notebooks import Notebooks
from notebookd.service.readings import Readings
from notebookd.service.snapshots import Snapshots
from notebookd.service.syncs import Syncs
from notebookd.service.tokens import Tokens
from notebookd.service.usage import Usage
from notebookd.service.why import Reasons

MAX_BODY = 1024 * 1024


@dataclass(slots=True, kw_only=True)
class Services:
    """What the API stands on. ``url_of`` gives a notebook's address; ``configured`` the configuration in force,
    which is another one after a reload."""

    notebooks: Notebooks
    machine: Machine
    loads: Loads
    gpus: GpuBoard
    reasons: Reasons
    tokens: Tokens
    accounts: Accounts
    usage: Usage
    images: Images
    datastores: Datastores
    archives: Archives
    syncs: Syncs
    snapshots: Snapshots
    readings: Readings
    telemetry: Telemetry
    listing: Listing
    events: Events
    logs: Logs
    commands: Commands
    clock: Clock
    quota: QuotaBook
    directory: Directory
    url_of: Callable[[str], str]
    configured: Callable[[], Config]
    instance: str
    version: str

    @property
    def config(self) -> Config:
        """The configuration that is in force."""
        return self.configured()


def notebook_id_of(text: str) -> NotebookId:
    """The id that a text is. Raises NotFound where it is no UUID."""
    try:
        return NotebookId(str(uuid.UUID(text)))
    except ValueError:
        raise NotFound(f"cannot find notebook {text!r}: that is no id") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request: who asks, and for what."""

    request: web.Request
    actor: Actor
    services: Services

    @property
    def notebook_id(self) -> NotebookId:
        """The notebook that the path names. An id that is no UUID is no notebook's."""
        return notebook_id_of(self.request.match_info["id"])

    def entry(self, verb: str) -> Entry:
        """The notebook that the path names, when the actor may ``verb`` it."""
        return self.services.notebooks.get(self.actor, self.notebook_id, verb)

    async def body(self) -> bytes:
        """The whole body, bounded."""
        try:
            return await self.request.read()
        except web.HTTPRequestEntityTooLarge:
            raise TooLarge(f"cannot read the body: it is larger than {MAX_BODY} bytes") from None


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


class Access(StrEnum):
    """Who may call a route. Whose notebook it is, is checked where the notebook is fetched.

    Each rule lets in fewer: READER all who are known, tokens that only read among them; MEMBER all but those; PERSON
    who comes without a token; ADMIN the machine's admins, who do.
    """

    READER = "reader"
    MEMBER = "member"
    PERSON = "person"
    ADMIN = "admin"


def answer(value: Any, *, headers: dict[str, str] | None = None) -> web.Response:
    """200 with a shape."""
    return encoded(wire.encode(value), headers=headers)


def encoded(body: bytes, *, headers: Mapping[str, str] | None = None) -> web.Response:
    """200 with a shape that was encoded before."""
    return web.Response(body=body, content_type="application/json", headers=headers)


def page_of(call: Call, page: int, size: int, total: int) -> wire.Metadata:
    """Where a page of a list stands, and the address of the next."""
    pages = -(-total // size)
    following = call.request.rel_url.update_query(page=str(page + 1)) if page < pages else None
    return wire.Metadata(
        current_page=page,
        page_count=pages,
        total=total,
        links=wire.Links(next_=str(following) if following else wire.UNSET),
    )


def done() -> web.Response:
    """204."""
    return web.Response(status=204)
