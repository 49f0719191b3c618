# SPDX-License-Identifier: Apache-2.0
"""Who passes and who does not, over real TCP."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from notebookd.gateway import auth
from notebookd.routes import remove_route

from .conftest import ALICE, BEARER, BOB, Deck, ToyEditor, hash_of


async def test_token_in_the_address_becomes_a_session(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ask("GET", "/lab?a=1&token=secret-a&b=2") as answer:
        assert answer.status == 303
        assert answer.headers["Location"] == "/lab?a=1&b=2"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        [cookie] = answer.headers.getall("Set-Cookie")
    value, *attributes = cookie.split("; ")
    assert "secret-a" not in value
    assert {one.lower() for one in attributes} == {"httponly", "max-age=2592000", "path=/", "samesite=lax"}
    assert editor.seen == []
    async with deck.ask("GET", "/lab", headers={"Cookie": value}) as answer:
        assert answer.status == 200


async def test_head_is_redirected_too_and_other_methods_pass_without_the_token(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ask("HEAD", "/?token=secret-a") as answer:
        assert answer.status == 303
    async with deck.ask("POST", "/x?token=secret-a&c=3") as answer:
        assert answer.status == 200
    assert editor.raw == ["/x?c=3"]
    assert "X-XSRFToken" in editor.headers


@pytest.mark.parametrize("target", ["//evil.example/?token=secret-a", "/\\evil.example/?token=secret-a"])
async def test_redirect_never_leaves_the_origin(deck: Deck, editor: ToyEditor, target: str) -> None:
    answer = await deck.raw(f"GET {target} HTTP/1.1\r\nHost: {deck.base()}\r\nConnection: close\r\n\r\n".encode())
    assert b"\r\nlocation: /evil.example/\r\n" in answer.lower()


async def test_old_token_beside_a_good_session_only_cleans_the_address(deck: Deck, editor: ToyEditor) -> None:
    cookie = await deck.log_in()
    async with deck.ask("GET", "/lab?token=old", headers={"Cookie": cookie}) as answer:
        assert answer.status == 303
        assert answer.headers["Location"] == "/lab"
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "target", "status"),
    [
        ({}, "/", 401),
        ({}, "/?token=wrong", 403),
        ({}, "/?token=", 403),
        ({"Authorization": "Bearer wrong"}, "/", 403),
        ({"Authorization": "Basic c2VjcmV0LWE="}, "/", 403),
        ({"Cookie": "notebookd-session=x"}, "/", 403),
        ({"Cookie": "notebookd-session=1.ab." + "0" * 64}, "/", 403),
        ({"Cookie": "notebookd-session=secret-a"}, "/", 403),
    ],
)
async def test_stranger_learns_nothing_but_the_id(
    deck: Deck, editor: ToyEditor, headers: dict[str, str], target: str, status: int
) -> None:
    async with deck.ask("GET", target, headers=headers) as answer:
        assert answer.status == status
        page = await answer.text()
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert f"notebookctl url {ALICE}" in page
    for secret in ("alices-book", "because", ">alice"):
        assert secret not in page
    assert editor.seen == []


async def test_session_of_another_notebook_is_none(deck: Deck, serve: Callable[[str], Any]) -> None:
    bob = await serve(BOB)
    deck.publish(BOB, token="secret-b", name="bobs-book", owner="bob")
    cookie = await deck.log_in()
    async with deck.ask("GET", "/", host=deck.base(BOB), headers={"Cookie": cookie}) as answer:
        assert answer.status == 403
    async with deck.ask("GET", "/", host=deck.base(BOB), headers=BEARER) as answer:
        assert answer.status == 403
    assert bob.seen == []


async def test_even_with_one_token_sessions_are_per_notebook(deck: Deck, serve: Callable[[str], Any]) -> None:
    await serve(BOB)
    deck.publish(BOB, token="secret-a")
    async with deck.ask("GET", "/", host=deck.base(BOB), headers={"Cookie": await deck.log_in()}) as answer:
        assert answer.status == 403


@pytest.mark.parametrize("settings", [{"url": "https://{id}.localhost/"}])
async def test_behind_tls_the_cookie_is_for_tls_alone(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ask("GET", "/?token=secret-a") as answer:
        assert [*answer.cookies] == ["__Host-notebookd-session"]
        cookie = answer.cookies["__Host-notebookd-session"]
        assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "")
    async with deck.ask("GET", "/", headers={"Cookie": f"__Host-notebookd-session={cookie.value}; own=1"}) as answer:
        assert answer.status == 200
    assert editor.headers["Cookie"] == "own=1"
    async with deck.ask("GET", "/", headers={"Cookie": f"notebookd-session={cookie.value}"}) as answer:
        assert answer.status == 401


async def test_planted_cookies_beside_the_real_one_lock_nobody_out(deck: Deck, editor: ToyEditor) -> None:
    sent = {"Cookie": f"{'notebookd-session=planted; ' * 150}{await deck.log_in()}"}
    async with deck.ask("GET", "/", headers=sent) as answer:
        assert answer.status == 200
    assert "Cookie" not in editor.headers


async def test_a_session_outlives_stop_and_start_and_the_printed_link_does_not(deck: Deck, editor: ToyEditor) -> None:
    cookie = {"Cookie": await deck.log_in()}
    deck.publish(state="INTERRUPTED", token=None)
    async with deck.ask("GET", "/lab", headers=cookie) as answer:
        assert answer.status == 503
        assert "notebookctl start alices-book" in await answer.text()
    deck.publish(token="secret-a2")
    async with deck.ask("GET", "/lab", headers=cookie) as answer:
        assert answer.status == 200
    async with deck.ask("GET", "/lab?token=secret-a", headers={}) as answer:
        assert (answer.status, "Set-Cookie" in answer.headers) == (403, False)
    async with deck.ask("GET", "/", headers=BEARER) as answer:
        assert answer.status == 403


async def test_another_session_key_ends_every_session(deck: Deck, editor: ToyEditor) -> None:
    cookie = {"Cookie": await deck.log_in()}
    for renewed in (hash_of("renewed"), None, "", "no key"):
        deck.publish(session_key=renewed)
        async with deck.ask("GET", "/", headers=cookie) as answer:
            assert answer.status == 403
    deck.publish(session_key=hash_of("renewed"))
    async with deck.ask("GET", "/", headers={"Cookie": await deck.log_in()}) as answer:
        assert answer.status == 200


async def test_session_ends_by_the_clock(deck: Deck, editor: ToyEditor) -> None:
    cookie = await deck.log_in()
    deck.clock[0] += auth.SESSION_LIFETIME_S - 1
    async with deck.ask("GET", "/", headers={"Cookie": cookie}) as answer:
        assert answer.status == 200
    deck.clock[0] += 1
    async with deck.ask("GET", "/", headers={"Cookie": cookie}) as answer:
        assert answer.status == 403


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.0.0.1",
        "evil.example",
        "x.localhost",
        ALICE,
        f"{ALICE}.evil.example",
        f"{ALICE}.localhost.evil.example",
        f"{ALICE}.localhost.",
        f"a.{ALICE}.localhost",
        f"{ALICE}.localhost:port",
        f"{ALICE.replace('-', '')}.localhost",
        f"user@{ALICE}.localhost",
        "",
    ],
)
async def test_unknown_hosts_are_refused_before_anything_else(deck: Deck, editor: ToyEditor, host: str) -> None:
    async with deck.ask("GET", "/", host=host, headers=BEARER) as answer:
        assert answer.status in {400, 421}
    assert editor.seen == []


@pytest.mark.parametrize("host", [f"{ALICE}.LOCALHOST", f"{ALICE.upper()}.localhost:1", f"{ALICE}.localhost"])
async def test_host_has_any_case_and_any_port(deck: Deck, editor: ToyEditor, host: str) -> None:
    async with deck.ask("GET", "/", host=host, headers=BEARER) as answer:
        assert answer.status == 200


async def test_requests_that_make_no_sense_are_refused(deck: Deck, editor: ToyEditor) -> None:
    host = f"Host: {deck.base()}\r\n"
    tail = "Authorization: Bearer secret-a\r\nConnection: close\r\n\r\n"
    for head in (
        f"GET http://{deck.base()}/ HTTP/1.1\r\n{host}",
        f"GET http://{BOB}.localhost/ HTTP/1.1\r\n{host}",
        f"OPTIONS * HTTP/1.1\r\n{host}",
        f"GET / HTTP/1.1\r\n{host}Host: {BOB}.localhost\r\n",
        "GET / HTTP/1.1\r\n",
        f"TRACE / HTTP/1.1\r\n{host}",
        f"CONNECT {deck.base()} HTTP/1.1\r\n{host}",
        f"POST /ws HTTP/1.1\r\n{host}Upgrade: websocket\r\nConnection: upgrade\r\n",
    ):
        answer = await deck.raw((head + tail).encode())
        assert answer.split(b" ", 2)[1] in {b"400", b"404", b"405"}, (head, answer[:60])
    assert editor.seen == []


async def test_deleted_notebook_is_unknown_at_once(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ask("GET", "/", headers=BEARER) as answer:
        assert answer.status == 200
    remove_route(deck.runtime / "routes", ALICE)
    async with deck.ask("GET", "/", headers=BEARER) as answer:
        assert answer.status == 404


def _from(deck: Deck, case: str) -> dict[str, str]:
    return {
        "home": {"Origin": deck.origin()},
        "foreign": {"Origin": "http://evil.example"},
        "sibling": {"Origin": deck.origin(BOB)},
        "https": {"Origin": deck.origin().replace("http", "https")},
        "other-port": {"Origin": f"http://{ALICE}.localhost:1"},
        "null": {"Origin": "null"},
        "none": {},
        "fetched-home": {"Sec-Fetch-Site": "same-origin"},
        "fetched-cross": {"Sec-Fetch-Site": "cross-site"},
        "referred-home": {"Referer": deck.origin() + "/lab"},
        "referred-foreign": {"Referer": deck.origin() + ".evil.example/"},
    }[case]


ORIGINS = [
    # case, by session, by bearer, by nothing (unsecureHttp)
    ("home", True, True, True),
    ("foreign", False, False, False),
    ("sibling", False, False, False),
    ("https", False, False, False),
    ("other-port", False, False, False),
    ("null", False, False, False),
    ("none", False, True, True),
    ("fetched-home", True, True, True),
    ("fetched-cross", False, True, False),
    ("referred-home", True, True, True),
    ("referred-foreign", False, True, False),
]


@pytest.mark.parametrize(("case", "session", "bearer", "unsecured"), ORIGINS)
async def test_unsafe_methods_come_from_home(
    deck: Deck, editor: ToyEditor, case: str, session: bool, bearer: bool, unsecured: bool
) -> None:
    cookie = {"Cookie": await deck.log_in()}
    for method in ("POST", "PUT", "PATCH", "DELETE", "PROPFIND"):
        async with deck.ask(method, "/", headers={**_from(deck, case), **cookie}) as answer:
            assert answer.status == (200 if session else 403)
        async with deck.ask(method, "/", headers={**_from(deck, case), **BEARER}) as answer:
            assert answer.status == (200 if bearer else 403)
    deck.publish(unsecure_http=True)
    async with deck.ask("POST", "/", headers=_from(deck, case)) as answer:
        assert answer.status == (200 if unsecured else 403)
    async with deck.ask("GET", "/", headers=_from(deck, case)) as answer:
        assert answer.status == (403 if case == "fetched-cross" else 200)


async def test_unsecured_notebook_asks_for_no_token_and_still_hides_it(deck: Deck, editor: ToyEditor) -> None:
    deck.publish(unsecure_http=True, token=None)
    async with deck.ask("GET", "/x", headers={"Authorization": "Bearer what"}) as answer:
        assert answer.status == 200
    assert "Authorization" not in editor.headers
    async with deck.ask("GET", "/x?token=what") as answer:
        assert answer.status == 303
        assert answer.headers["Location"] == "/x"
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("broken", ["zz", "", "AB" * 32])
async def test_broken_hash_lets_nobody_in(deck: Deck, editor: ToyEditor, broken: str) -> None:
    deck.publish(token_hash=broken)
    for target in ("/", "/?token="):
        async with deck.ask("GET", target, headers={"Authorization": "Bearer "}) as answer:
            assert answer.status in {401, 403}


async def test_no_token_is_logged(deck: Deck, editor: ToyEditor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await deck.log_in()
    async with deck.ask("POST", "/broken?token=secret-a") as answer:
        assert answer.status == 200
    async with deck.ask("GET", "/?token=wrong-token-too") as answer:
        assert answer.status == 403
    assert "secret-a" not in caplog.text
    assert "wrong-token-too" not in caplog.text


def fetched(site: str, mode: str, dest: str) -> dict[str, str]:
    return {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}


@pytest.mark.parametrize("unsecure", [False, True])
@pytest.mark.parametrize(
    ("said", "status"),
    [
        (fetched("cross-site", "navigate", "document"), 200),  # a link that somebody followed
        (fetched("same-site", "navigate", "document"), 200),
        (fetched("none", "navigate", "document"), 200),
        (fetched("same-origin", "no-cors", "image"), 200),
        (fetched("same-origin", "cors", "empty"), 200),
        (fetched("same-origin", "navigate", "iframe"), 200),
        ({}, 200),
        (fetched("cross-site", "no-cors", "image"), 403),
        (fetched("cross-site", "no-cors", "script"), 403),
        (fetched("cross-site", "cors", "empty"), 403),
        (fetched("cross-site", "navigate", "iframe"), 403),
        (fetched("same-site", "no-cors", "script"), 403),  # another notebook's page, where they share a domain
        (fetched("same-site", "navigate", "embed"), 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_what_another_sites_page_loads_into_itself_is_refused(
    deck: Deck, editor: ToyEditor, unsecure: bool, said: dict[str, str], status: int
) -> None:
    cookie = {} if unsecure else {"Cookie": await deck.log_in()}
    deck.publish(unsecure_http=unsecure)
    async with deck.ask("GET", "/files/secret.csv", headers={**cookie, **said}) as answer:
        assert answer.status == status
    assert len(editor.seen) == (status == 200)
    if not unsecure:  # a program that shows the token is no page
        async with deck.ask("GET", "/files/secret.csv", headers={**BEARER, **said}) as answer:
            assert answer.status == 200
