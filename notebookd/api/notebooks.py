# SPDX-License-Identifier: Apache-2.0
"""Routes of notebooks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping

from aiohttp import web

from notebookd import wire
from notebookd.api import data_shapes, shapes, wishes
from notebookd.api.call import Call, answer, done, encoded, page_of
from notebookd.api.command import command_line
from notebookd.api.remembered import MEMORY, Memory, Remembered
from notebookd.domain.entry import Entry
from notebookd.domain.faults import invalid
from notebookd.domain.ids import NotebookId
from notebookd.errors import Conflict, Forbidden, InvalidRequest
from notebookd.ports.files import Usage
from notebookd.ports.store import NotebookFilter
from notebookd.service.notebooks import IdempotencyKey

_KEY = re.compile(r"[\x20-\x7e]{1,255}")


async def shape(call: Call, entry: Entry) -> wire.Notebook:
    """A notebook as it is answered."""
    usage = await call.services.listing.usage([entry.notebook.id])
    return _shape(call, entry, usage)


def _shape(call: Call, entry: Entry, usage: Mapping[NotebookId, Usage]) -> wire.Notebook:
    services, notebook_id = call.services, entry.notebook.id
    return shapes.notebook(
        entry,
        url=services.url_of(notebook_id),
        workspace=data_shapes.workspace(
            usage.get(notebook_id),
            services.listing.workspace_use(notebook_id),
            services.config.workspace.quota_bytes,
        ),
        syncs=services.syncs.list(notebook_id),
        running_s=services.usage.running_s(entry.run),
    )


async def create(call: Call) -> web.Response:
    """POST /v1/notebook."""
    raw = await call.body()
    body, faults = wishes.decode(wire.NotebookSpec, raw)
    if body is None:
        raise invalid("create the notebook", faults)
    spec = call.services.notebooks.check(wishes.spec_wish(body, faults), faults, actor=call.actor)
    named = isinstance(body.name, str)
    entry = await call.services.notebooks.create(call.actor, spec, _idempotency(call, raw), named=named)
    return answer(await shape(call, entry), headers=tag_of(entry))


def _idempotency(call: Call, raw: bytes) -> IdempotencyKey | None:
    key = call.request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidRequest("cannot use the Idempotency-Key: it must have 1 to 255 characters of ASCII")
    return IdempotencyKey(key=key, digest=hashlib.sha256(raw).hexdigest())


def tag_of(entry: Entry) -> dict[str, str]:
    """The header that says which version of a notebook it is."""
    return {"ETag": f'"{entry.tag}"'}


async def list_all(call: Call) -> web.Response:
    """GET /v1/notebook."""
    memory, actor, listing = call.request.app[MEMORY], call.actor, call.services.listing
    question = (call.request.path_qs, None if actor.admin else actor.name, actor.selector)
    known = memory.find(question, stamp := memory.stamp())
    if known is None:
        wish, generation = _wish(call), stamp
        entries, total = listing.page(actor, wish)
        asked = {each.notebook.id for each in entries if _found(memory, each.notebook.id) is None}
        usage = await listing.usage(asked) if asked else {}
        stamp = memory.stamp()  # before what is remembered is read: a commit may come at any time
        if stamp != generation:
            entries, total = listing.page(actor, wish)
        metadata = page_of(call, wish.page, wish.size, total)
        items = [wire.encoded(_remembered(call, entry, usage, asked).body) for entry in entries]
        known = memory.keep(question, Remembered(body=wire.encode(wire.NotebookList(items, metadata))), stamp)
    return encoded(known.body)


def _wish(call: Call) -> NotebookFilter:
    return wishes.notebook_filter(call.request.query, call.services.clock.now())


async def get(call: Call) -> web.Response:
    """GET /v1/notebook/{id}."""
    notebook_id = call.notebook_id
    known = _found(call.request.app[MEMORY], notebook_id)
    if known is None or not call.actor.may_see(known.owner, known.labels or {}):
        asked = [call.entry("get").notebook.id]
        usage = await call.services.listing.usage(asked)
        known = _remembered(call, call.entry("get"), usage, asked)
    return encoded(known.body, headers=known.headers)


def _found(memory: Memory, notebook_id: NotebookId) -> Remembered | None:
    return memory.find(notebook_id, memory.stamp(notebook_id))


def _remembered(
    call: Call, entry: Entry, usage: Mapping[NotebookId, Usage], asked: Collection[NotebookId]
) -> Remembered:
    """A notebook's answer, as it is remembered or made of what was just read. It is kept where it was ``asked`` what
    its workspace takes."""
    memory, kept = call.request.app[MEMORY], entry.notebook
    stamp = memory.stamp(kept.id)
    known = memory.find(kept.id, stamp)
    if known is not None:
        return known
    body = wire.encode(_shape(call, entry, usage))
    made = Remembered(body=body, headers=tag_of(entry), owner=kept.owner, labels=kept.spec.labels)
    return memory.keep(kept.id, made, stamp) if kept.id in asked else made


async def update(call: Call) -> web.Response:
    """PUT /v1/notebook/{id}."""
    raw = await call.body()
    notebook_id = call.entry("change").notebook.id
    body, faults = wishes.decode(wire.NotebookPatch, raw)
    if body is None:
        raise invalid(f"change notebook {notebook_id}", faults)
    tags = _wanted_tags(call.request.headers.getall("If-Match", []))
    await call.services.notebooks.update(
        call.actor, notebook_id, wishes.patch(body, faults), if_match=tags, faults=faults
    )
    return done()


def _wanted_tags(headers: list[str]) -> frozenset[str] | None:
    """The versions of which one must still be current; None where any will do. A weak tag is none of them: that two
    answers mean the same is not that nothing was changed (RFC 9110, 13.1.1)."""
    listed = [each.strip() for header in headers for each in header.split(",")]
    if not headers or listed == ["*"]:
        return None
    return frozenset(each.strip('"') for each in listed if not each.startswith("W/"))


async def delete(call: Call) -> web.Response:
    """DELETE /v1/notebook/{id}."""
    query = wishes.Query(call.request.query, "delete the notebook")
    force = query.flag("force")
    query.done()
    await call.services.notebooks.delete(call.actor, call.notebook_id, force=force)
    return done()


async def start(call: Call) -> web.Response:
    """PUT /v1/notebook/{id}/start."""
    query = wishes.Query(call.request.query, "start the notebook")
    discard = query.flag("discard")
    query.done()
    await call.services.notebooks.start(call.actor, call.notebook_id, discard=discard)
    return done()


async def stop(call: Call) -> web.Response:
    """PUT /v1/notebook/{id}/stop."""
    query = wishes.Query(call.request.query, "stop the notebook")
    at_once = query.flag("now")
    query.done()
    await call.services.notebooks.stop(call.actor, call.notebook_id, at_once=at_once)
    return done()


async def restart(call: Call) -> web.Response:
    """PUT /v1/notebook/{id}/restart."""
    await call.services.notebooks.restart(call.actor, call.notebook_id)
    return done()


async def extend(call: Call) -> web.Response:
    """PUT /v1/notebook/{id}/extend."""
    raw = await call.body()
    notebook_id = call.entry("extend").notebook.id
    what = f"extend notebook {notebook_id}"
    wish = wishes.extension(wishes.require(wire.ExtendRequest, raw, what), what)
    timeout_at = await call.services.notebooks.extend(call.actor, notebook_id, by=wish.by, until=wish.until)
    return answer(wire.Extended(timeout_at=wire.rfc3339(timeout_at)))


async def label(call: Call) -> web.Response:
    """PUT /v1/notebook/{id}/label."""
    raw = await call.body()
    notebook_id = call.entry("label").notebook.id
    body = wishes.require(wire.LabelUpdate, raw, f"label notebook {notebook_id}")
    value = body.value if isinstance(body.value, str) else None
    await call.services.notebooks.set_label(call.actor, notebook_id, body.name, value)
    return done()


async def rename(call: Call) -> web.Response:
    """PUT /v1/notebook/{id}/rename."""
    raw = await call.body()
    notebook_id = call.entry("rename").notebook.id
    body = wishes.require(wire.Rename, raw, f"rename notebook {notebook_id}")
    await call.services.notebooks.rename(call.actor, notebook_id, body.name)
    return done()


async def command(call: Call) -> web.Response:
    """POST /v1/notebook/command."""
    body, faults = wishes.decode(wire.NotebookSpec, await call.body())
    if body is None:
        raise invalid("read the notebook", faults)
    wish = wishes.spec_wish(body, faults)
    call.services.notebooks.check(wish, faults, actor=call.actor)
    return answer(wire.Command(command=command_line(wish)))


async def renew_access(call: Call) -> web.Response:
    """POST /v1/notebook/{id}/access/renew: another token, and no session any more."""
    entry = await call.services.notebooks.renew_access(call.actor, call.notebook_id)
    url = f"{call.services.url_of(entry.notebook.id)}?token={entry.notebook.token}"
    return answer(wire.Access(url=url, token=entry.notebook.token or ""))


async def access(call: Call) -> web.Response:
    """GET /v1/notebook/{id}/access: the way in, for the owner alone."""
    entry = call.entry("open")
    if entry.notebook.owner != call.actor.name:
        raise Forbidden(f"cannot open notebook {entry.notebook.id}: its token is its owner's alone")
    if entry.notebook.token is None:
        raise Conflict(f"cannot open notebook {entry.notebook.id}: it has no token before its first start")
    url = f"{call.services.url_of(entry.notebook.id)}?token={entry.notebook.token}"
    return answer(wire.Access(url=url, token=entry.notebook.token))


async def why(call: Call) -> web.Response:
    """GET /v1/notebook/{id}/why."""
    entry = call.entry("explain")
    reasons = call.services.reasons
    row = next((row for row in call.services.machine.queue() if row.entry.run.id == entry.run.id), None)
    shaped = await shape(call, entry)
    return answer(
        wire.Why(
            notebook=entry.notebook.id,
            state=shaped.status.state,
            sentences=reasons.sentences(entry),
            deadlines=[shapes.deadline(each) for each in reasons.deadlines(entry)],
            waits_for=shapes.queue_row(row) if row else wire.UNSET,
        )
    )
