# SPDX-License-Identifier: Apache-2.0
"""Every route tried as everybody: what the table of routes lets in, as a page.

It goes by the table alone. A new route is tried with the first thing that its list holds and with an empty body; where
that says too little, :data:`BODIES` and :data:`QUERIES` hold something better.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from notebookd.api.route import Route
from tests.access.voice import Said, Voice, voice_of

PAGE = Path(__file__).parents[2] / "docs" / "access.md"
NOWHERE = "00000000-0000-4000-8000-000000000000"
LABEL = "matrix"
SPEC = {
    "env": {"editorId": "jupyterlab", "frameworkId": "conda"},
    "resources": {"cpu": 1},
    "labels": {LABEL: "yes"},
}
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/v1/notebook"): {key: SPEC[key] for key in ("env", "resources")},
    ("POST", "/v1/notebook/command"): SPEC,
    ("PUT", "/v1/notebook/{id}"): {"labels": SPEC["labels"]},
    ("PUT", "/v1/notebook/{id}/label"): {"name": "a", "value": "b"},
    ("PUT", "/v1/notebook/{id}/rename"): {"name": "another-name"},
    ("PUT", "/v1/notebook/{id}/extend"): {"duration": "1h"},
    ("POST", "/v1/notebook/{id}/datasync"): {"direction": "pull"},
    ("POST", "/v1/account/chown"): {"from": "nobody", "to": "nobody"},
    ("POST", "/v1/token"): {"name": "more", "role": "ai_training_read"},
}
QUERIES = {
    ("DELETE", "/v1/notebook/{id}"): "?force=true",
    ("GET", "/v1/notebook/{id}/exec"): "?command=id",
    ("GET", "/v1/notebook/{id}/archive"): "?path=none",
    ("DELETE", "/v1/notebook/{id}/archive"): "?path=none",
}
CAST = (
    "owner",
    "other member",
    "admin",
    "stranger",
    "service account",
    "operator's token",
    "reader's token",
    "token for others",
)
"""Who tries: the owner of the notebook and of a token; another member; an admin; somebody in no group; the service's
own account; tokens of the owner's, of either role for notebooks with the label that the notebook bears, and one of an
operator for notebooks with another. Tokens are shown by the admin's process: they replace the peer."""

_TOKENS = {
    "operator's token": ("ai_training_operator", f"{LABEL}=yes"),
    "reader's token": ("ai_training_read", f"{LABEL}=yes"),
    "token for others": ("ai_training_operator", f"{LABEL}=no"),
}
_OWN_THINGS = ("/v1/notebook/{id}", "/v1/token/{id}", "/v1/gpu/{uuid}")
"""Of these there is one that may be spoiled. Of others a changing verb is tried on what is not there."""


@dataclass(frozen=True, slots=True)
class Row:
    """A route, and what came of it for each of the cast: ``yes`` where the rules let in, whatever came of it then."""

    route: Route
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The voices, and the tokens that some speak with. ``settle`` waits until nothing is under way."""

    voices: dict[str, Voice]
    settle: Callable[[], Awaitable[None]]
    tokens: dict[str, str] = field(default_factory=dict)
    things: dict[str, str] = field(default_factory=dict)

    async def ask(self, who: str, method: str, path: str, body: Any = None) -> Said:
        """Ask as one of the cast."""
        value = self.tokens.get(who)
        headers = {"Authorization": f"Bearer {value}"} if value else {}
        return await self.voices["admin" if value else who].ask(method, path, body, headers)

    async def made(self, path: str, body: Any) -> Any:
        """Make something as the owner."""
        said = await self.ask("owner", "POST", path, body)
        assert said.status == 200, said.text
        await self.settle()
        return said.body

    async def prepare(self) -> None:
        """Make the tokens that are shown, if they are not there, and what is acted on, if it is not there any more."""
        for who, (role, selector) in _TOKENS.items():
            if who not in self.tokens:
                token = await self.made("/v1/token", {"name": LABEL, "role": role, "labelSelector": selector})
                self.tokens[who] = token["status"]["value"]
        for collection, body in (("/v1/notebook", SPEC), ("/v1/token", BODIES["POST", "/v1/token"])):
            said = await self.ask("owner", "GET", f"{collection}/{self.things.get(collection, NOWHERE)}")
            if said.status != 200 or said.body.get("status", {}).get("state") == "DELETING":
                self.things[collection] = (await self.made(collection, body))["id"]


async def tried(stage: Stage, routes: Sequence[Route]) -> list[Row]:
    """The matrix."""
    rows = []
    for route in routes:
        cells = [await _cell(stage, route, who) for who in CAST]
        rows.append(Row(route, tuple(cells)))
    return rows


async def _cell(stage: Stage, route: Route, who: str) -> str:
    await stage.prepare()
    path = await _path(stage, route)
    body = BODIES.get((route.method, route.path), {} if route.takes else None)
    said = await stage.ask(who, route.method, path + QUERIES.get((route.method, route.path), ""), body)
    if route.method != "GET":
        await stage.settle()
        await _undo(stage, route, said)
    return _verdict(said, stage.things["/v1/notebook"])


def _verdict(said: Said, notebook: str) -> str:
    """Whether the rules let in. A 404 is theirs only where it denies the notebook that is there."""
    if said.status == 0:
        return "no socket"
    denied = said.status == 404 and f"notebook {notebook}: there is none" in said.text
    return str(said.status) if said.status in {401, 403} or denied else "yes"


async def _path(stage: Stage, route: Route) -> str:
    """The route's path about something that is there, where there is something that may be spoiled."""
    path = route.path
    for name in re.findall(r"\{(\w+)\}", path):
        collection = path.partition(f"/{{{name}}}")[0]
        spoils = route.method != "GET" and not route.path.startswith(_OWN_THINGS)
        thing = stage.things.get(collection)
        if thing is None:
            thing = NOWHERE if spoils else await _first(stage, collection, name)
        path = path.replace(f"{{{name}}}", thing, 1)
    return path


async def _first(stage: Stage, collection: str, name: str) -> str:
    body = (await stage.ask("admin", "GET", collection)).body
    items = body.get("items", []) if isinstance(body, dict) else body or []
    return str(items[0].get(name, items[0].get("id", NOWHERE))) if items else NOWHERE


async def _undo(stage: Stage, route: Route, said: Said) -> None:
    """Take away what came of it."""
    if said.status == 200 and route.method == "POST" and isinstance(said.body, dict) and "id" in said.body:
        kind = "token" if route.path.startswith("/v1/token") else "notebook"
        if said.body["id"] not in stage.things.values() and (kind == "token" or "env" in said.body.get("spec", {})):
            await stage.ask("admin", "DELETE", f"/v1/{kind}/{said.body['id']}" + "?force=true" * (kind == "notebook"))
            await stage.settle()


@asynccontextmanager
async def on_stage(
    socket: str, accounts: dict[str, str], settle: Callable[[], Awaitable[None]]
) -> AsyncIterator[Stage]:
    """The cast at a socket, by the accounts of those who are no tokens; what was made is gone afterwards."""
    async with AsyncExitStack() as stack:
        voices = {who: await stack.enter_async_context(voice_of(name, socket)) for who, name in accounts.items()}
        stage = Stage(voices=voices, settle=settle)
        try:
            yield stage
        finally:
            for token in (await stage.ask("owner", "GET", "/v1/token")).body["items"]:
                await stage.ask("owner", "DELETE", f"/v1/token/{token['id']}")
            for notebook in (await stage.ask("owner", "GET", "/v1/notebook")).body["items"]:
                await stage.ask("owner", "DELETE", f"/v1/notebook/{notebook['id']}?force=true")
            await settle()


_HEAD = """\
<!-- Written by `python -m tests.access`, which tries every route; change notebookd/api/app.py instead. -->
# Who may call what

Each row is a route of the API, and each cell what came of calling it: **yes**, or the status of the refusal. The
notebook is the owner's, as are the tokens. *Rule* is what the table of routes says: `reader` lets in whoever is known;
`member` keeps out tokens that only read; `person` all tokens; `admin` all but admins. Whose notebook it is, is checked
beyond that. To a token what it may not see does not exist (404); a member is told that it is not his (403).

"""


def page(rows: Sequence[Row]) -> str:
    """The whole page."""
    columns = ["route", "rule", *CAST]
    lines = [
        f"| {' | '.join(columns)} |",
        "|" + "---|" * len(columns),
        *(f"| `{row.route.method} {row.route.path}` | {row.route.access} | {' | '.join(row.cells)} |" for row in rows),
    ]
    return _HEAD + "\n".join(lines) + "\n"
