# SPDX-License-Identifier: Apache-2.0
"""Writes docs/api.md from the description that is served as OpenAPI: ``python -m tests.meta.api_doc``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from notebookd.api.app import ROUTES
from notebookd.api.openapi import document, who
from notebookd.api.route import UPGRADE, Route

PAGE = Path(__file__).parents[2] / "docs" / "api.md"

_HEAD = """\
<!-- Written by `python -m tests.meta.api_doc`; change the route table in notebookd/api/app.py instead. -->
# The API

HTTP over the Unix socket `/run/notebookd/api.sock`. A running daemon serves the same as OpenAPI 3.1 at
`GET /v1/openapi.json`; the extensions beyond the OVHcloud AI API, marked *ours* here, at `GET /v1`.

Bodies are JSON in camelCase. Times are RFC 3339 in UTC with milliseconds, sizes bytes, ids UUIDs. What is absent is
left out of an answer; null is sent only where a type says so. In a request, null means unset (in a change: reset). A
field that is not known is refused, and one answer names every fault of a request.

Every refusal is a [Refusal](#refusal) with a code that stays the same:

| status | code |
|---|---|
| 400 | `invalid-request` |
| 401 | `unauthenticated` |
| 402 | `quota-exceeded` |
| 403 | `forbidden` |
| 404 | `not-found` |
| 409 | `conflict` |
| 412 | `precondition-failed` |
| 413 | `too-large` |
| 500 | `internal-error` |
| 503 | `engine-unavailable`, `gpus-unavailable`, `store-unavailable`: no answer |
| 503 | `engine-error`, `volume-unavailable`, `workspace-unavailable`: the answer was no |

Any route may answer 401, 403, 500 and 503; what else it may refuse with stands beside it. What is no HTTP, or has a
field of more than 8 KiB or a head of more than 64 KiB, is refused before there is a route: 400, in plain text. An
account has 256 connections at most; one more is refused with 429, `too-many-connections`.

`HEAD` is `GET` without the body, but where an answer is a stream; `OPTIONS` names the methods of a path; a trailing
slash changes nothing.

A notebook's answer bears an `ETag`; a change with `If-Match` is made only of that version, else 412. A `POST` with an
`Idempotency-Key` gives its first answer again for 24 hours. No answer may be stored (`Cache-Control: no-store`). Pages
are stable in the default order (`createdAt` ascending, then the id): what is made while one reads comes last, so that
nothing is skipped or seen twice on its account.

Events and followed logs are JSON lines, with an empty line every 20 s to show that the daemon is there. A reader that
takes nothing for 10 s is cut off; nobody is ever skipped a line. Ask again with `after` the last id seen; 409 means
that some of what followed it is not kept any more (`events.keep`).

`exec` is a websocket of binary frames. The first byte says what the rest is: 0 input (empty: its end), 1 output, 2
errors, 3 the end (`{"exitCode": 0}`), 4 the terminal's size (`{"width": 80, "height": 24}`). Where no end can be told,
it closes with 1011. That a command is run is an event, `notebook.command`, with who runs it and the program's name: no
arguments, which may be secrets, and nothing of what it reads or writes.
"""
_EVERYWHERE = {401, 403, 500, 503}


def page() -> str:
    """The whole page."""
    described = document(ROUTES, "")
    parts = [_HEAD]
    by_path = sorted(ROUTES, key=lambda route: _section(route))
    for section, routes in groupby(by_path, key=_section):
        parts.append(f"\n## {section}")
        parts += [line for route in routes for line in _route(route, described)]
    parts.append("\n## Shapes")
    parts += [
        line for name, schema in sorted(described["components"]["schemas"].items()) for line in _shape(name, schema)
    ]
    return "\n".join(parts) + "\n"


def _section(route: Route) -> str:
    words = route.path.split("/")
    return words[2] if len(words) > 2 and words[1] == "v1" else "about"


def _route(route: Route, described: dict[str, Any]) -> Iterator[str]:
    operation = described["paths"][route.path][route.method.lower()]
    yield f"\n### {route.method} {route.path}\n"
    yield f"{route.summary}. For {who(route.access)}{', *ours*' if route.ours else ''}.\n"
    if "requestBody" in operation:
        yield f"- takes {_content(operation['requestBody']['content'])}"
    yield f"- gives {route.success}{_given(route, operation)}"
    own = [str(status) for status in route.errors if status not in _EVERYWHERE]
    if own:
        yield f"- refuses with {', '.join(own)}"
    for each in operation["parameters"]:
        if each["in"] != "path":
            kind = "header " if each["in"] == "header" else ""
            yield f"- {kind}`{each['name']}` ({_type(each['schema'])}): {each['description']}"


def _given(route: Route, operation: dict[str, Any]) -> str:
    if route.gives is UPGRADE:
        return " and goes on as a websocket"
    content = operation["responses"][str(route.success)].get("content", {})
    return f" {_content(content)}" if content else ""


def _content(content: dict[str, Any]) -> str:
    shapes = (
        _type(each["schema"]) if kind == "application/json" else f"`{kind}` of {_type(each['schema'])}"
        for kind, each in content.items()
    )
    return " or ".join(shapes)


def _shape(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"\n### {name}\n"
    if "description" in schema:
        yield f"{schema['description']}\n"
    required = schema.get("required", ())
    if schema.get("properties"):
        yield "| field | type | |\n|---|---|---|"
    for field, each in schema.get("properties", {}).items():
        yield f"| `{field}` | {_type(each).replace('|', chr(92) + '|')} | {'always' if field in required else ''} |"


def _type(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return ", ".join(f"`{each}`" if each != "" else "empty" for each in schema["enum"])
    if {"type": "boolean"} in schema.get("anyOf", ()):
        return "true or false"
    if "anyOf" in schema and "type" not in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    kind = schema.get("type")
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map to {_type(schema['additionalProperties'])}"
    words = {
        "string": "text",
        "integer": "whole number",
        "boolean": "true or false",
        "object": "object",
        None: "anything",
    }
    text = {"date-time": "time", "uuid": "id", "binary": "bytes"}.get(schema.get("format", ""), words.get(kind, kind))
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = f" from {low} to {high}" if high is not None else f" from {low}" if low is not None else ""
    return f"{text}{bounds}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
