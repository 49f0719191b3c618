# SPDX-License-Identifier: Apache-2.0
"""Requests passed on: nothing lost, nothing added, nothing held."""

from __future__ import annotations

import asyncio
import gzip
import io
from collections.abc import AsyncIterator

import aiohttp
import pytest

from .conftest import ALICE, BEARER, Deck, ToyEditor


async def test_request_reaches_the_editor_of_its_host(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ask("POST", "/api/x?a=1&b=%2F", headers=BEARER, data=b"hi") as answer:
        assert answer.status == 200
        assert await answer.read() == b"body:hi"
        assert answer.headers["X-Notebook"] == ALICE
    assert editor.headers["Host"] == deck.base()


@pytest.mark.parametrize("target", ["/a%2Fb%20c%C3%A9", "/a//b/../c", "//evil/x", "/x?q=%2B+&q=&=&r", "/~u/;p=1"])
async def test_target_is_passed_on_byte_for_byte(deck: Deck, editor: ToyEditor, target: str) -> None:
    answer = await deck.raw(
        f"GET {target} HTTP/1.1\r\nHost: {deck.base()}\r\nAuthorization: Bearer secret-a\r\n"
        f"Connection: close\r\n\r\n".encode()
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert editor.raw == [target]


async def test_answer_headers_keep_doubles_and_lose_what_is_not_the_editors_to_say(
    deck: Deck, editor: ToyEditor
) -> None:
    async with deck.ask("GET", "/", headers=BEARER) as answer:
        assert answer.headers.getall("Set-Cookie") == ["one=1; Path=/", "two=2; Path=/"]
        assert "Keep-Alive" not in answer.headers
        assert answer.headers.getall("Server")
        assert len(answer.headers.getall("Date")) == 1


async def test_request_loses_credentials_and_hop_by_hop_headers(deck: Deck, editor: ToyEditor) -> None:
    cookie = await deck.log_in()
    sent = {
        "Cookie": f"a=1; {cookie}; b=2",
        "Authorization": "Bearer nonsense",
        "Connection": "keep-alive, X-Gone, Host",
        "X-Gone": "1",
        "TE": "trailers",
        "Proxy-Authorization": "x",
        "X-Kept": "yes",
        "Accept-Encoding": "br",
    }
    async with deck.ask("GET", "/", headers=sent) as answer:
        assert answer.status == 200
    for name in ("Authorization", "X-Gone", "TE", "Proxy-Authorization", "X-XSRFToken"):
        assert name not in editor.headers
    assert editor.headers.getall("Cookie") == ["a=1; b=2"]
    assert editor.headers["X-Kept"] == "yes"
    assert editor.headers["Accept-Encoding"] == "br"
    assert editor.headers["Host"] == deck.base()


@pytest.mark.parametrize(("settings", "scheme"), [({}, "http"), ({"url": "https://{id}.localhost/"}, "https")])
async def test_where_a_request_came_from_is_ours_to_say(deck: Deck, editor: ToyEditor, scheme: str) -> None:
    names = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Prefix", "X-Real-IP", "X-Original-URL")
    async with deck.ask("GET", "/", headers={**BEARER, **dict.fromkeys(names, "evil.example")}) as answer:
        assert answer.status == 200
    said = {name: value for name, value in editor.headers.items() if "evil" in value or "orward" in name}
    assert said == {"X-Forwarded-Host": deck.base(), "X-Forwarded-Proto": scheme}


async def test_a_referer_bears_no_token(deck: Deck, editor: ToyEditor) -> None:
    sent = {"Referer": f"{deck.origin()}/lab?a=1&token=secret-a&b=2"}
    async with deck.ask("GET", "/", headers={**BEARER, **sent}) as answer:
        assert answer.status == 200
    assert editor.headers["Referer"] == f"{deck.origin()}/lab?a=1&b=2"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "token"])
async def test_bearer_gets_an_xsrf_pair_in_place_of_its_own(deck: Deck, editor: ToyEditor, scheme: str) -> None:
    sent = {"Authorization": f"{scheme} secret-a", "Cookie": "_xsrf=old; a=1", "X-XSRFToken": "old"}
    async with deck.ask("POST", "/", headers=sent) as answer:
        assert answer.status == 200
    [pair] = editor.headers.getall("X-XSRFToken")
    assert pair != "old"
    assert len(pair) == 32
    assert editor.headers["Cookie"] == f"a=1; _xsrf={pair}"


async def test_browser_with_a_session_keeps_its_own_xsrf_pair(deck: Deck, editor: ToyEditor) -> None:
    sent = {"Cookie": f"{await deck.log_in()}; _xsrf=mine", "X-XSRFToken": "mine", "Origin": deck.origin()}
    async with deck.ask("POST", "/", headers=sent) as answer:
        assert answer.status == 200
    assert editor.headers["X-XSRFToken"] == "mine"
    assert editor.headers["Cookie"] == "_xsrf=mine"


async def test_answer_streams(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ask("GET", "/stream", headers=BEARER) as answer:
        assert await answer.content.readany() == b"data: first\n\n"  # while the editor still waits
        editor.go.set()
        assert await answer.content.read() == b"data: last\n\n"


async def test_request_body_streams(deck: Deck, editor: ToyEditor) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await editor.arrived.wait()  # it arrives while the rest is not even written
        yield b"last"

    async with deck.ask("PUT", "/upload", headers=BEARER, data=body()) as answer:
        assert await answer.text() == "9"


async def test_large_bodies_with_length_pass_whole(deck: Deck, editor: ToyEditor) -> None:
    size = 40 * 1024 * 1024
    async with deck.ask("PUT", "/upload", headers=BEARER, data=io.BytesIO(bytes(size))) as answer:
        assert await answer.text() == str(size)


async def test_encoded_body_is_not_decoded_on_the_way(deck: Deck, editor: ToyEditor) -> None:
    packed = gzip.compress(b"hello")
    async with deck.ask("POST", "/", headers={**BEARER, "Content-Encoding": "gzip"}, data=packed) as answer:
        assert await answer.read() == b"body:" + packed


async def test_browser_that_leaves_ends_the_request_at_the_editor(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ask("GET", "/quiet", headers=BEARER) as answer:
        await answer.content.readany()
    async with asyncio.timeout(5):
        await editor.gone.wait()


@pytest.mark.parametrize("target", ["/broken", "/broken?length=1"])
async def test_answer_that_breaks_off_is_not_taken_for_whole(deck: Deck, editor: ToyEditor, target: str) -> None:
    with pytest.raises(aiohttp.ClientError):
        async with deck.ask("GET", target, headers=BEARER) as answer:
            await answer.read()


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_body_stay_so(deck: Deck, editor: ToyEditor, status: int) -> None:
    answer = await deck.raw(
        f"GET /bare?status={status} HTTP/1.1\r\nHost: {deck.base()}\r\nAuthorization: Bearer secret-a\r\n"
        f"Connection: close\r\n\r\n".encode()
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert body == b""
    assert b"transfer-encoding" not in head.lower()
    assert b"etag" in head.lower()


async def test_head_keeps_the_length(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ask("HEAD", "/sized", headers=BEARER) as answer:
        assert answer.headers["Content-Length"] == "12345"
        assert await answer.read() == b""
    async with deck.ask("GET", "/sized", headers=BEARER) as answer:
        assert len(await answer.read()) == 12345


async def test_redirect_of_the_editor_is_the_browsers_to_follow(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ask("GET", "/redirect", headers=BEARER) as answer:
        assert answer.status == 302


async def test_two_lengths_are_one_too_many(deck: Deck, editor: ToyEditor) -> None:
    head = f"POST /upload HTTP/1.1\r\nHost: {deck.base()}\r\nAuthorization: Bearer secret-a\r\n"
    for trick in (
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    ):
        answer = await deck.raw((head + trick).encode())
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), (trick, answer[:80])
    assert editor.chunks == []


async def test_headers_are_bounded(deck: Deck, editor: ToyEditor) -> None:
    answer = await deck.raw(f"GET / HTTP/1.1\r\nHost: {deck.base()}\r\nX: {'x' * 40000}\r\n\r\n".encode())
    assert answer.split(b" ", 2)[1] in {b"400", b"431"}


async def test_bytes_that_are_no_text_do_not_stop_a_request(deck: Deck, editor: ToyEditor) -> None:
    answer = await deck.raw(
        b"GET / HTTP/1.1\r\nHost: " + deck.base().encode() + b"\r\nAuthorization: Bearer secret-a\r\n"
        b"X-Odd: caf\xe9\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_expect_continue_is_answered_here(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ask("POST", "/", headers=BEARER, data=b"late", expect100=True) as answer:
        assert await answer.read() == b"body:late"
    assert "Expect" not in editor.headers
