# SPDX-License-Identifier: Apache-2.0
"""Routes of the machine: capabilities, the caller, the board, the queue, health."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from aiohttp import web

from notebookd import wire
from notebookd.api import shapes, wishes
from notebookd.api.call import Call, answer, done
from notebookd.errors import NotFound

T = TypeVar("T")

_ROWS_AT_ONCE = 250
"""Of the queue, in one turn of the event loop."""


def _by_id(items: Sequence[T], call: Call, kind: str) -> T:
    wanted = call.request.match_info["id"]
    for item in items:
        if getattr(item, "id", None) == wanted:
            return item
    raise NotFound(f"cannot get {kind} {wanted!r}: there is none of that id")


async def _flavors(call: Call) -> list[wire.Flavor]:
    free_bytes = await call.services.machine.free_bytes()
    return [shapes.flavor(each, free, free_bytes) for each, free in call.services.machine.flavors()]


async def list_flavors(call: Call) -> web.Response:
    """GET /v1/capabilities/flavor."""
    return answer(await _flavors(call))


async def get_flavor(call: Call) -> web.Response:
    """GET /v1/capabilities/flavor/{id}."""
    return answer(_by_id(await _flavors(call), call, "flavor"))


def _editors(call: Call) -> list[wire.Editor]:
    catalogue = call.services.machine.catalogue
    framework = call.request.query.get("compatibleWithFramework")
    editors = catalogue.compatible_editors(framework) if framework else catalogue.editors
    return [shapes.editor(each, catalogue) for each in editors]


async def list_editors(call: Call) -> web.Response:
    """GET /v1/capabilities/notebook/editor."""
    return answer(_editors(call))


async def get_editor(call: Call) -> web.Response:
    """GET /v1/capabilities/notebook/editor/{id}."""
    return answer(_by_id(_editors(call), call, "editor"))


def _frameworks(call: Call) -> list[wire.Framework]:
    catalogue = call.services.machine.catalogue
    editor = call.request.query.get("compatibleWithEditor")
    frameworks = catalogue.compatible_frameworks(editor) if editor else catalogue.frameworks
    return [shapes.framework(each, catalogue) for each in frameworks]


async def list_frameworks(call: Call) -> web.Response:
    """GET /v1/capabilities/notebook/framework."""
    return answer(_frameworks(call))


async def get_framework(call: Call) -> web.Response:
    """GET /v1/capabilities/notebook/framework/{id}."""
    return answer(_by_id(_frameworks(call), call, "framework"))


async def _quotas(call: Call) -> wire.Quotas:
    rows = call.services.machine.flavors()
    gpus = sum(flavor.limit for flavor, _ in rows if flavor.gpu)
    cpus = sum(flavor.limit for flavor, _ in rows if not flavor.gpu)
    allowed = gpus if call.actor.admin else call.services.quota(call.actor.name).capped(gpus)
    free_bytes = await call.services.machine.free_bytes()
    return wire.Quotas(resources={"CPU": cpus, "GPU": allowed}, storage=free_bytes)


async def quota(call: Call) -> web.Response:
    """GET /v1/capabilities/quota."""
    return answer([await _quotas(call)])


async def me(call: Call) -> web.Response:
    """GET /v1/me."""
    actor = call.actor
    return answer(
        wire.Me(
            name=actor.name,
            role=str(actor.role),
            tenant=call.services.instance,
            quotas=await _quotas(call),
            token_kind="app" if actor.token else wire.UNSET,
        )
    )


async def board(call: Call) -> web.Response:
    """GET /v1/gpu."""
    seen = await call.services.gpus.board()
    rows = [shapes.board_row(row, named=row.may_be_named_to(call.actor)) for row in seen.rows]
    return answer(wire.GpuList(items=rows, trouble=seen.trouble or wire.UNSET))


async def drain(call: Call) -> web.Response:
    """PUT /v1/gpu/{uuid}/drain."""
    query = wishes.Query(call.request.query, "drain the GPU")
    reason = " ".join(query.every("reason"))
    query.done()
    await call.services.gpus.drain(call.actor, call.request.match_info["uuid"], drained=True, reason=reason.strip(" "))
    return done()


async def undrain(call: Call) -> web.Response:
    """PUT /v1/gpu/{uuid}/undrain."""
    await call.services.gpus.drain(call.actor, call.request.match_info["uuid"], drained=False)
    return done()


async def clear(call: Call) -> web.Response:
    """PUT /v1/gpu/{uuid}/clear."""
    await call.services.gpus.clear(call.actor, call.request.match_info["uuid"])
    return done()


async def release(call: Call) -> web.Response:
    """PUT /v1/gpu/release."""
    await call.services.gpus.release(call.actor)
    return done()


async def acquire(call: Call) -> web.Response:
    """PUT /v1/gpu/acquire."""
    await call.services.gpus.acquire(call.actor)
    return done()


async def queue(call: Call) -> web.Response:
    """GET /v1/queue: every waiting run to an admin, one's own to others, at its place among all."""
    items: list[wire.QueueEntry] = []
    for number, row in enumerate(call.services.machine.queue(), start=1):
        if call.actor.may_see(row.entry.notebook.owner, row.entry.notebook.spec.labels):
            items.append(shapes.queue_row(row))
        if number % _ROWS_AT_ONCE == 0:
            await call.services.clock.sleep(0)
    return answer(wire.Queue(items=items))


async def load(call: Call) -> web.Response:
    """GET /v1/load: of every running notebook to an admin, of one's own to others."""
    seen = await call.services.loads.look()
    mine = [each for each in seen if call.actor.may_see(each.notebook.owner, each.notebook.spec.labels)]
    return answer(wire.LoadList(items=[shapes.load(each) for each in mine]))


async def health(call: Call) -> web.Response:
    """GET /v1/health."""
    found = await call.services.machine.health()
    worst = max((status for status, _ in found.values()), key=("ok", "degraded", "failed").index)
    return answer(
        wire.Health(
            status=worst,
            version=call.services.version,
            dependencies={
                name: wire.Dependency(status=status, message=message or wire.UNSET)
                for name, (status, message) in found.items()
            },
        )
    )
