# SPDX-License-Identifier: Apache-2.0
"""Routes of app tokens."""

from __future__ import annotations

import uuid

from aiohttp import web

from notebookd import wire
from notebookd.api import wishes
from notebookd.api.call import Call, answer, done, page_of
from notebookd.domain.faults import invalid
from notebookd.domain.ids import TokenId
from notebookd.domain.token import Token, TokenWish
from notebookd.errors import NotFound


async def list_all(call: Call) -> web.Response:
    """GET /v1/token."""
    query = wishes.Query(call.request.query, "list the tokens")
    page, size = query.page()
    query.done()
    tokens, total = call.services.tokens.list_tokens(call.actor, page=page, size=size)
    return answer(wire.TokenList(items=[_shape(each) for each in tokens], metadata=page_of(call, page, size, total)))


async def create(call: Call) -> web.Response:
    """POST /v1/token."""
    body, faults = wishes.decode(wire.NewToken, await call.body())
    if body is None or faults:
        raise invalid("create the token", faults)
    selector = body.label_selector if isinstance(body.label_selector, str) else None
    made = await call.services.tokens.create(
        call.actor, TokenWish(name=body.name, role=body.role, selector=selector or None)
    )
    return answer(_shape(made.token, made.value))


async def get(call: Call) -> web.Response:
    """GET /v1/token/{id}."""
    return answer(_shape(call.services.tokens.get(call.actor, _token_id(call), "get")))


async def renew(call: Call) -> web.Response:
    """POST /v1/token/{id}/renew."""
    made = await call.services.tokens.renew(call.actor, _token_id(call))
    return answer(_shape(made.token, made.value))


async def delete(call: Call) -> web.Response:
    """DELETE /v1/token/{id}."""
    await call.services.tokens.delete(call.actor, _token_id(call))
    return done()


def _token_id(call: Call) -> TokenId:
    text = call.request.match_info["id"]
    try:
        return TokenId(str(uuid.UUID(text)))
    except ValueError:
        raise NotFound(f"cannot find token {text!r}: that is no id") from None


def _shape(token: Token, value: str | None = None) -> wire.Token:
    return wire.Token(
        id=token.id,
        created_at=wire.rfc3339(token.created_at),
        updated_at=wire.rfc3339(token.updated_at),
        spec=wire.TokenSpec(
            name=token.name,
            role=token.role,
            label_selector=str(token.selector) if token.selector else wire.UNSET,
        ),
        status=wire.TokenStatus(version=token.version, value=value or wire.UNSET),
        user=token.owner,
    )
