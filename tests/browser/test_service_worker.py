# SPDX-License-Identifier: Apache-2.0
"""How far a service worker gets that a hostile notebook's page registers: not beyond that notebook's origin."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import BrowserContext, Page

from tests.browser.conftest import OpenNotebook, RunNotebook, ctl

pytestmark = pytest.mark.browser

SERVER = (Path(__file__).parent / "worker_server.py").read_text(encoding="utf-8")

REGISTER = """async ([script, scope]) => {
    try {
        await navigator.serviceWorker.register(script, {scope});
        await navigator.serviceWorker.ready;
        return "registered";
    } catch (error) { return error.name; }
}"""
ASK = """words => new Promise(async resolve => {
    const channel = new MessageChannel();
    channel.port1.onmessage = event => resolve(event.data);
    (await navigator.serviceWorker.ready).active.postMessage(words, [channel.port2]);
})"""
WHOSE = """async () => [
    navigator.serviceWorker.controller && navigator.serviceWorker.controller.scriptURL,
    (await navigator.serviceWorker.getRegistrations()).length,
]"""


async def test_a_service_worker_of_one_notebook_touches_no_other_and_not_the_bare_host(
    browser: BrowserContext, run_notebook: RunNotebook, other_notebook: OpenNotebook
) -> None:
    hostile = run_notebook("browser-hostile")
    ctl("exec", hostile.name, "--", "python3", "-c", SERVER)
    bare = f"http://localhost:{urlsplit(hostile.origin).port}"
    page = await browser.new_page()
    await page.goto(f"{hostile.origin}/?token={hostile.token}")
    assert await page.title() == "hostile", "it has taken the editor's place"

    elsewhere = (f"{other_notebook.origin}/", f"{bare}/")
    for scope in elsewhere:
        assert await page.evaluate(REGISTER, ["/worker.js", scope]) == "SecurityError", scope
        assert await page.evaluate(REGISTER, [f"{scope}worker.js", f"{hostile.origin}/"]) == "SecurityError", scope
    assert await page.evaluate(REGISTER, ["/worker.js", f"{hostile.origin}/"]) == "registered"
    await page.reload()
    made_up = "async () => (await fetch('/made-up')).text()"
    assert await page.evaluate(made_up) == "by the worker", "it has its own origin"

    other = await browser.new_page()
    before = _files(other_notebook)
    await other.goto(f"{other_notebook.origin}/api/contents?token={other_notebook.token}")
    assert await other.evaluate(WHOSE) == [None, 0]
    front = await browser.new_page()
    await front.goto(f"{bare}/v1/health")
    assert await front.evaluate(WHOSE) == [None, 0]

    pages: list[str] = await page.evaluate(ASK, ["clients", ""])
    assert pages
    assert {_origin(url) for url in pages} == {hostile.origin}, "it knows of no page of others"
    for address in (f"{other_notebook.origin}/api/contents", f"{bare}/v1/notebook"):
        assert await page.evaluate(ASK, ["read", address]) == "TypeError", "no answer can be read"
        assert await page.evaluate(ASK, ["write", address]) == "opaque 0", "it may be sent ..."
    assert _files(other_notebook) == before, "... and does nothing"
    seen: list[str] = await page.evaluate(ASK, ["seen", ""])
    assert {_origin(url) for url in seen} == {hostile.origin}, "nor does it see what they ask for"
    await _leads_nowhere_alone(page, other_notebook)


async def _leads_nowhere_alone(page: Page, other: OpenNotebook) -> None:
    """A page under the worker opens another notebook's, and the worker has no say in that either."""
    async with page.expect_popup() as opened:
        await page.evaluate("address => { window.open(address); }", f"{other.origin}/made-up")
    popup = await opened.value
    await popup.wait_for_load_state()
    assert "by the worker" not in await popup.content()
    assert await popup.evaluate(WHOSE) == [None, 0]


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _files(notebook: OpenNotebook) -> str:
    return ctl("exec", notebook.name, "--", "find", "/workspace", "-not", "-path", "*/.*")
