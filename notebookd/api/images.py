# SPDX-License-Identifier: Apache-2.0
"""Routes of the images, and of where the time of a start went."""

from __future__ import annotations

from aiohttp import web

from notebookd import wire
from notebookd.api import wishes
from notebookd.api.call import Call, answer, done
from notebookd.api.errors import refusal_of
from notebookd.api.streams import JsonLines
from notebookd.domain.spec import Fault
from notebookd.domain.timings import timings
from notebookd.errors import NotebookdError
from notebookd.ports.images import Progress
from notebookd.service.images import ImageRow, Order
from notebookd.wire import UNSET

_BEAT_S = 2.0
"""Whoever hangs up is noticed at the next beat, and nobody else may give the order meanwhile."""


async def list_all(call: Call) -> web.Response:
    """GET /v1/image."""
    images = call.services.images
    rows = await images.list_rows()
    recipes = [
        wire.ImageRecipe(name=each.name, images=list(each.images), base=each.base or UNSET, fault=each.fault or UNSET)
        for each in await images.list_recipes()
    ]
    return answer(wire.ImageList(items=[_row(call, row) for row in rows], recipes=recipes))


async def order(call: Call) -> web.StreamResponse:
    """POST /v1/image: carry an order out, and tell how it gets on. Hanging up gives it up."""
    body = wishes.require(wire.ImageOrder, await call.body(), "do that to an image")
    wish = Order(action=body.action, name=body.name, base=body.base or None)
    images = call.services.images
    async with images.admitted(call.actor, wish) as work, JsonLines.open(call, beat_s=_BEAT_S) as stream:
        try:
            async for step in work.steps:
                await stream.send(wire.encode(_progress(step)))
            made = [_row(call, row) for row in await images.rows_of(work.names)]
            end = wire.ImageProgress(images=made)
        except NotebookdError as fault:
            end = wire.ImageProgress(error=refusal_of(fault))
        await stream.send(wire.encode(end))
    return stream.response


async def remove(call: Call) -> web.Response:
    """DELETE /v1/image?name="""
    query = wishes.Query(call.request.query, "remove an image")
    names = query.every("name")
    if len(names) != 1:
        query.faults.append(Fault("$query.name", "must be there once: the image's name or digest"))
    query.done()
    await call.services.images.remove(call.actor, names[0])
    return done()


async def start_timings(call: Call) -> web.Response:
    """GET /v1/notebook/{id}/timings."""
    entry = call.entry("look at")
    steps = timings(entry.run)
    rows = [
        wire.TimingStep(step=each.step, at=wire.rfc3339(each.at), milliseconds=round(each.seconds * 1000, 3))
        for each in steps
    ]
    total = round(sum(each.seconds for each in steps) * 1000, 3)
    return answer(wire.Timings(notebook=entry.notebook.id, run=entry.run.number, items=rows, total=total))


def _progress(step: Progress) -> wire.ImageProgress:
    return wire.ImageProgress(
        text=step.text,
        done=UNSET if step.done_bytes is None else step.done_bytes,
        total=UNSET if step.total_bytes is None else step.total_bytes,
    )


def _row(call: Call, row: ImageRow) -> wire.Image:
    image, record = row.image, row.record
    return wire.Image(
        name=row.name or UNSET,
        present=image is not None,
        digest=image.digest if image else UNSET,
        size=image.size_bytes if image else UNSET,
        created_at=wire.rfc3339(image.created_at) if image else UNSET,
        catalogue=[
            wire.CatalogueUse(
                editor=each.editor,
                framework=each.framework,
                version=each.version,
                deprecated=each.deprecated or UNSET,
            )
            for each in row.entries
        ],
        notebooks=[
            wire.ImageUser(notebook=each.notebook.id, name=each.notebook.spec.name, owner=each.notebook.owner)
            for each in row.users
            if call.actor.may_see(each.notebook.owner, each.notebook.spec.labels)
        ],
        in_use=len(row.users),
        prepared_for=list(record.prepared_for),
        obtained_by=record.by or UNSET,
        obtained_at=wire.rfc3339(record.at) if record.at else UNSET,
        busy=row.busy or UNSET,
    )
