# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI description of the route table, made of the very shapes that decode requests and encode answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from notebookd import wire
from notebookd.api.call import Access
from notebookd.api.route import UPGRADE, Media, Param, Route

_TEMPLATE = "#/components/schemas/{name}"
_ABOUT = """\
notebookd speaks HTTP over a Unix socket, and knows its caller by the socket's peer credentials or by a bearer token. \
The notebook part is that of the OVHcloud AI API v1; operations marked `x-extension` are beyond it.

An absent value is left out of an answer, never null, but where a schema says so. Times are RFC 3339 in UTC, sizes \
bytes, durations seconds. Every refusal has the one shape `Refusal`, whose `code` is stable."""
_RAW = {str: {"type": "string"}, bytes: {"type": "string", "format": "binary"}}
_CAUSES = {
    400: "the request is at fault: `details.faults` names everything that is wrong with it, by JSON path",
    401: "nobody can be made of the caller",
    402: "a quota does not allow it",
    403: "the caller may not do this",
    404: "there is no such thing, or it is not the caller's to know",
    409: "the present state does not allow it",
    412: "the ETag is not current any more",
    413: "the body is too large",
    500: "internal error; `details.id` is in the log too",
    503: "the engine, the GPU driver, the store or the directory of accounts is unavailable",
}


def document(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The whole description, as JSON has it."""
    shapes = _Shapes(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, shapes)
    return {
        "openapi": "3.1.0",
        "info": {"title": "notebookd", "version": version, "description": _ABOUT, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "http://localhost", "description": "the Unix socket of notebookd"}],
        "paths": paths,
        "components": {
            "schemas": shapes.components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"bearer": []}],
    }


class _Shapes:
    """The schemas of all shapes, so that a shape which several routes use is described once."""

    def __init__(self, routes: Sequence[Route]) -> None:
        wanted = [shape for route in routes for shape in _shapes_of(route)]
        schemas, components = msgspec.json.schema_components(wanted, ref_template=_TEMPLATE)
        short = {name: _short(name) for name in components}
        self._schemas = {_key(shape): _tidy(schema, short) for shape, schema in zip(wanted, schemas, strict=True)}
        self.components = {short[name]: _tidy(schema, short) for name, schema in sorted(components.items())}

    def of(self, shape: Any) -> dict[str, Any]:
        """The schema of a shape that a route names."""
        schema: dict[str, Any] = self._schemas[_key(shape)]
        return schema


def _key(shape: Any) -> str:
    return repr(shape)


def _shapes_of(route: Route) -> Iterator[Any]:
    yield wire.Refusal
    if route.takes is not None and not isinstance(route.takes, Media):
        yield route.takes
    for kind, shape in media_of(route).items():
        if is_json(kind):
            yield shape
    for param in route.reads:
        yield param.shape


def media_of(route: Route) -> dict[str, Any]:
    """What the answer may be, by content type."""
    if isinstance(route.gives, Media):
        return dict(route.gives.shapes)
    return {} if route.gives is None else {"application/json": route.gives}


def is_json(kind: str) -> bool:
    """Whether that content type is JSON, or lines of it."""
    return kind in {"application/json", "application/x-ndjson"}


def _short(name: str) -> str:
    """A request's shape and an answer's of one name: the request's gets a word more."""
    module, _, own = name.rpartition(".")
    return f"{own}Wish" if module.endswith("parts") else own


def _tidy(schema: Any, short: dict[str, str]) -> Any:
    """With short names, and with the docstrings' line breaks undone."""
    if isinstance(schema, list):
        return [_tidy(each, short) for each in schema]
    if not isinstance(schema, dict):
        return schema
    tidied = {name: _tidy(each, short) for name, each in schema.items()}
    reference = tidied.get("$ref")
    if isinstance(reference, str):
        tidied["$ref"] = _TEMPLATE.format(name=short[reference.rpartition("/")[2]])
    title, description = tidied.get("title"), tidied.get("description")
    if isinstance(title, str):
        tidied.pop("title")
    if isinstance(description, str):
        tidied["description"] = re.sub(r"\s+", " ", description).replace("``", "`")
    return tidied


def _operation(route: Route, shapes: _Shapes) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.operation,
        "summary": route.summary,
        "tags": [route.path.split("/")[2] if route.path.count("/") > 1 else "about"],
        "parameters": [*_path_parameters(route), *(_parameter(param, shapes) for param in route.reads)],
        "responses": {str(route.success): _success(route, shapes), **_refusals(route, shapes)},
        "x-access": str(route.access),
    }
    if route.ours:
        operation["x-extension"] = True
    if route.takes is not None:
        operation["requestBody"] = {"required": True, "content": _taken(route.takes, shapes)}
    return operation


def _taken(takes: type[wire.Request] | Media, shapes: _Shapes) -> dict[str, Any]:
    if isinstance(takes, Media):
        return {kind: {"schema": _RAW[each]} for kind, each in takes.shapes.items()}
    return {"application/json": {"schema": shapes.of(takes)}}


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1}
    return [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]


def _parameter(param: Param, shapes: _Shapes) -> dict[str, Any]:
    return {
        "name": param.name,
        "in": "header" if param.header else "query",
        "description": param.about,
        "required": param.required,
        "schema": shapes.of(param.shape),
    }


def _success(route: Route, shapes: _Shapes) -> dict[str, Any]:
    if route.gives is UPGRADE:
        return {"description": "a websocket of binary frames, see the reference"}
    media = media_of(route)
    if not media:
        return {"description": "done"}
    response: dict[str, Any] = {
        "description": "one JSON object a line" if "application/x-ndjson" in media else "the answer",
        "content": {kind: {"schema": shapes.of(each) if is_json(kind) else _RAW[each]} for kind, each in media.items()},
    }
    if route.tagged:
        response["headers"] = {"ETag": {"description": "the version, for If-Match", "schema": {"type": "string"}}}
    return response


def _refusals(route: Route, shapes: _Shapes) -> dict[str, Any]:
    content = {"application/json": {"schema": shapes.of(wire.Refusal)}}
    return {
        str(status): {"description": f"{HTTPStatus(status).phrase}: {_CAUSES[status]}", "content": content}
        for status in route.errors
    }


def who(access: Access) -> str:
    """The access rule in words."""
    return {
        Access.READER: "members, tokens",
        Access.MEMBER: "members, operators' tokens",
        Access.PERSON: "members, no tokens",
        Access.ADMIN: "admins",
    }[access]
