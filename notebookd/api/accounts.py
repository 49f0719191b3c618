# SPDX-License-Identifier: Apache-2.0
"""Routes of the owners."""

from __future__ import annotations

from aiohttp import web

from notebookd import wire
from notebookd.api import wishes
from notebookd.api.call import Call, answer


async def chown(call: Call) -> web.Response:
    """POST /v1/account/chown."""
    body = wishes.require(wire.Chown, await call.body(), "hand notebooks over")
    made = await call.services.accounts.hand_over(call.actor, body.from_, body.to)
    return answer(
        wire.Handover(from_=made.old, to=made.new, uid=made.uid, notebooks=made.notebooks, tokens=made.tokens)
    )
