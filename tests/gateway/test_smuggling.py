# SPDX-License-Identifier: Apache-2.0
"""Requests that two readers could read in two ways, said byte by byte: refused, or passed on as what was decided on."""

from __future__ import annotations

import logging
import re

import pytest

from .conftest import ALICE, BOB, Deck, ToyEditor

TOKEN = "Authorization: Bearer secret-a\r\n"
CLOSE = "Connection: close\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
HELLO = "5\r\nhello\r\n0\r\n\r\n"


def post(framing: str, body: str, version: str = "1.1") -> str:
    return f"POST / HTTP/{version}\r\nHost: {{host}}\r\n{TOKEN}{CLOSE}{framing}\r\n{body}"


def get(target: str = "/", more: str = "", host: str = "{host}") -> str:
    return f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}{TOKEN}{CLOSE}\r\n"


REFUSED = {
    "bare line feeds": f"GET / HTTP/1.1\nHost: {{host}}\n{TOKEN.strip()}\n{CLOSE.strip()}\n\n",
    "a folded line": get(more="X-A: b\r\n c\r\n"),
    "a folded Host": get(host="\r\n {host}"),
    "a blank before the colon": get(more="X-A : b\r\n"),
    "NUL in a value": get(more="X-A: a\0b\r\n"),
    "a bare return in a value": get(more="X-A: a\rX-B: b\r\n"),
    "a length with a sign": post("Content-Length: +5\r\n", "hello"),
    "a length below nothing": post("Content-Length: -5\r\n", "hello"),
    "a length in hexadecimal": post("Content-Length: 0x5\r\n", "hello"),
    "a length that is a list": post("Content-Length: 5, 5\r\n", "hello"),
    "a length twice": post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
    "a length of 24 digits": post(f"Content-Length: {'9' * 24}\r\n", "hello"),
    "chunks, then a length": post(f"{CHUNKED}Content-Length: 5\r\n", HELLO),
    "an encoding nobody knows": post("Transfer-Encoding: xchunked\r\n", HELLO),
    "an encoding behind a tab of the other kind": post("Transfer-Encoding: \x0bchunked\r\n", HELLO),
    "chunks that are not the last encoding": post(f"{CHUNKED}Transfer-Encoding: identity\r\n", HELLO),
    "chunks before there were any": post(CHUNKED, HELLO, version="1.0"),
    "an extension that ends the line": post(CHUNKED, "5;\nhello\r\n0\r\n\r\n"),
    "a chunk's size with 0x": post(CHUNKED, "0x5\r\nhello\r\n0\r\n\r\n"),
    "a chunk's size behind a blank": post(CHUNKED, " 5\r\nhello\r\n0\r\n\r\n"),
    "a chunk larger than there is": post(CHUNKED, f"{'f' * 17}\r\nhello\r\n0\r\n\r\n"),
    "a chunk that goes on": post(CHUNKED, "5\r\nhelloXX0\r\n\r\n"),
    "NUL in the target": get("/a\0b"),
    "a blank in the target": get("/a b"),
    "a letter in the target that is none of ASCII's": get("/caf\xe9"),
    "a target without end": get("/" + "a" * 20_000),
    "headers without end": get(more="".join(f"X-{number}: y\r\n" for number in range(200))),
    "another protocol": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version to come": get().replace("HTTP/1.1", "HTTP/1.2"),
    "a method in small letters": get().replace("GET", "get"),
    "a target with an address": get(f"https://{ALICE}.localhost/"),
    "a target that is only an address": get(f"{BOB}.localhost:80"),
    "two Hosts in one": get(host=f"{{host}}, {BOB}.localhost"),
    "a Host with a path": get(host=f"{{host}}/{BOB}.localhost"),
    "a Host with a dot at its end": get(host=f"{ALICE}.localhost.:80"),
    "a Host that is an address": get(host="[::1]:8421"),
    "a Host behind a name": get(host=f"{BOB}.localhost@{{host}}"),
    "a Host with a port too many": get(host="{host}:80"),
}


@pytest.mark.parametrize("said", REFUSED.values(), ids=REFUSED.keys())
async def test_what_makes_no_sense_reaches_no_editor_and_no_log(
    deck: Deck, editor: ToyEditor, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = await deck.raw(said.replace("{host}", deck.base()).encode("latin-1"))
    assert answer.split(b" ", 2)[1] in {b"400", b"421"}, answer[:80]
    assert editor.seen == []
    assert "secret-a" not in caplog.text


PASSED = {
    "an extension of a chunk": (post(CHUNKED, "5;a=b\r\nhello\r\n0\r\n\r\n"), b"hello"),
    "lines after the last chunk": (
        post(CHUNKED, "5\r\nhello\r\n0\r\nAuthorization: x\r\nCookie: a=b\r\n\r\n"),
        b"hello",
    ),
    "a request that is another's body": (
        post("Content-Length: 18\r\n", "GET /x HTTP/1.1\r\n\r"),
        b"GET /x HTTP/1.1\r\n\r",
    ),
}


@pytest.mark.parametrize(("said", "body"), PASSED.values(), ids=PASSED.keys())
async def test_a_body_is_a_body_whatever_it_looks_like(deck: Deck, editor: ToyEditor, said: str, body: bytes) -> None:
    answer = await deck.raw(said.replace("{host}", deck.base()).encode())
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\nbody:" + body)
    [seen] = editor.seen
    assert "Authorization" not in seen.headers
    assert "a=b" not in seen.headers.get("Cookie", "")


@pytest.mark.parametrize(
    "target", ["/a%00b", "/a%0d%0aX:%20y", "/%2f..%2f..%2f", "/..", "/a%zz%2", "/%2e%2e/%5c", "/a#b"]
)
async def test_a_path_is_the_editors_to_read(deck: Deck, editor: ToyEditor, target: str) -> None:
    await deck.raw(get(target).replace("{host}", deck.base()).encode())
    assert editor.raw == [target]


async def test_each_of_several_requests_on_a_connection_is_decided_on(deck: Deck, editor: ToyEditor) -> None:
    first = f"GET /one HTTP/1.1\r\nHost: {deck.base()}\r\n{TOKEN}\r\n"
    second = f"GET /two HTTP/1.1\r\nHost: {deck.base()}\r\n\r\n"
    third = f"GET /three HTTP/1.1\r\nHost: {deck.base(BOB)}\r\n{TOKEN}{CLOSE}\r\n"
    answer = await deck.raw((first + second + third).encode())
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answer) == [b"200", b"401", b"404"]
    assert editor.raw == ["/one"]


@pytest.mark.parametrize("asked", ["h2c", "websocket", "foo"])
async def test_nothing_is_read_behind_a_protocol_that_was_not_begun(deck: Deck, editor: ToyEditor, asked: str) -> None:
    upgrade = f"Upgrade: {asked}\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n"
    behind = f"GET /behind HTTP/1.1\r\nHost: {deck.base()}\r\n{TOKEN}\r\n"
    said = f"POST / HTTP/1.1\r\nHost: {deck.base()}\r\n{upgrade}{TOKEN}\r\n{behind}"
    answer = await deck.raw(said.encode())
    assert answer.count(b"HTTP/1.1 ") == 1
    assert "/behind" not in editor.raw
    assert all("Upgrade" not in seen.headers and "HTTP2-Settings" not in seen.headers for seen in editor.seen)
