# SPDX-License-Identifier: Apache-2.0
"""The gateway's own pages."""

from __future__ import annotations

import pytest

from notebookd.gateway import pages
from notebookd.routes import Route

from .conftest import ALICE, BEARER, Deck, ToyEditor


@pytest.mark.parametrize("state", ["STARTING", "RESTARTING"])
async def test_owner_of_a_starting_notebook_is_taken_along(deck: Deck, editor: ToyEditor, state: str) -> None:
    deck.publish(state=state)
    cookie = {"Cookie": await deck.log_in()}
    async with deck.ask("GET", "/lab", headers=cookie) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "2"
        page = await answer.text()
    assert "alices-book is starting" in page
    assert "<p>because</p>" in page
    assert '<meta http-equiv="refresh" content="2">' in page
    assert editor.seen == []
    deck.publish()
    async with deck.ask("GET", "/lab", headers=cookie) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("state", ["STOPPED", "FAILED", "ERROR", "SYNC_FAILED"])
async def test_owner_of_a_stopped_notebook_is_told_how_to_start_it(deck: Deck, editor: ToyEditor, state: str) -> None:
    deck.publish(state=state)
    async with deck.ask("GET", "/", headers=BEARER) as answer:
        assert answer.status == 503
        assert "Retry-After" not in answer.headers
        page = await answer.text()
    assert "notebookctl start alices-book" in page
    assert "because" in page
    assert "refresh" not in page
    assert editor.seen == []


@pytest.mark.parametrize("state", ["STARTING", "STOPPING", "STOPPED", "FAILED"])
async def test_without_a_token_to_ask_for_the_page_gives_nothing_away(deck: Deck, state: str) -> None:
    for changes in ({"token": None}, {"unsecure_http": True}, {"unsecure_http": True, "token": None}):
        deck.publish(state=state, **changes)
        async with deck.ask("GET", "/") as answer:
            assert answer.status == 503
            page = await answer.text()
        assert "alices-book" not in page
        assert "because" not in page
        assert ALICE in page


async def test_stranger_at_a_stopped_notebook_with_a_token_is_a_stranger(deck: Deck) -> None:
    deck.publish(state="STOPPED")
    async with deck.ask("GET", "/") as answer:
        assert answer.status == 401
        assert "stopped" not in await answer.text()


def test_everything_is_escaped() -> None:
    evil = '<script>"&'
    route = Route(notebook=ALICE, name=evil, owner="o", state="STOPPED", reason=evil + "$body $title")
    html = pages.state(route, proven=True).html
    assert "<script>" not in html
    assert html.count("&lt;script&gt;&quot;&amp;") >= 3
    assert "$body $title" in html
    assert "<script>" not in pages.not_yours(evil, status=403).html
    assert "<script>" not in pages.unknown(status=404, domain=evil).html


async def test_a_page_says_where_notebooks_live_with_the_port_of_the_browser(deck: Deck) -> None:
    for host, shown in (("localhost:9999", "localhost:9999."), ("localhost", "localhost."), ("x:1e5", "localhost.")):
        async with deck.ask("GET", "/", host=host) as answer:
            assert f"http://&lt;id&gt;.{shown}" in await answer.text()


def test_nothing_turns_the_direction_of_writing() -> None:
    route = Route(notebook=ALICE, name="calm\u202e", owner="o", state="STOPPED", reason="\u2066evil\x1b[2J\x9b1m")
    html = pages.state(route, proven=True).html
    assert "\\u2066evil^[[2J\\u009b1m" in html
    assert not any(letter in html for letter in "\u202e\u2066\x1b\x9b")


@pytest.mark.parametrize(
    "page",
    [
        pages.foreign_origin(),
        pages.unreachable(refresh=True),
        pages.bad_request(400, "x"),
        pages.unknown(status=421, domain="localhost"),
    ],
)
def test_pages_load_nothing(page: pages.Page) -> None:
    for word in ("<script", "src=", "href=", "url(", "@import"):
        assert word not in page.html
    assert page.html.startswith("<!doctype html>")
