# SPDX-License-Identifier: Apache-2.0
"""Who gets in, as a real browser has it: address bar, cookies, origins, and the gateway's own pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.browser.conftest import OpenNotebook, RunNotebook, ctl

pytestmark = pytest.mark.browser

OPEN_WEBSOCKET = """url => new Promise(resolve => {
    const websocket = new WebSocket(url);
    websocket.onopen = () => { websocket.close(); resolve("open"); };
    websocket.onerror = () => resolve("refused");
})"""


async def test_the_token_leaves_the_address_bar_and_becomes_a_cookie_that_no_script_reads(
    browser: BrowserContext, notebook: OpenNotebook
) -> None:
    page = await browser.new_page()
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    await page.goto(f"{notebook.origin}/lab?token={notebook.token}", wait_until="domcontentloaded")
    await expect(page.locator("#jp-top-bar, #jupyterlab-splash, .jp-LabShell").first).to_be_attached()

    assert notebook.token not in page.url
    assert page.url.startswith(f"{notebook.origin}/lab")
    assert [url for url in requested[1:] if notebook.token in url] == []
    (cookie,) = [each for each in await browser.cookies() if each["name"] == "notebookd-session"]
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"
    assert cookie["domain"] == f"{notebook.id}.localhost"  # host-only: a cookie for subdomains begins with a dot
    assert notebook.token not in cookie["value"]
    assert "notebookd-session" not in await page.evaluate("document.cookie")


async def test_a_session_of_one_notebook_opens_no_other(
    browser: BrowserContext, notebook: OpenNotebook, other_notebook: OpenNotebook, pictures: Path | None
) -> None:
    page = await browser.new_page()
    await page.goto(f"{notebook.origin}/api?token={notebook.token}")
    answer = await page.goto(f"{other_notebook.origin}/lab")

    assert answer is not None
    assert answer.status == 401
    await expect(page.get_by_role("heading")).to_have_text("Not yours, or not any more")
    await expect(page.locator("pre")).to_have_text(f"notebookctl url {other_notebook.id}")
    assert other_notebook.name not in await page.content()
    await _take_picture(page, pictures, "not-yours.png")


async def test_a_page_of_another_notebook_gets_no_websocket(
    browser: BrowserContext, notebook: OpenNotebook, other_notebook: OpenNotebook
) -> None:
    page = await browser.new_page()
    await page.goto(notebook.url, wait_until="domcontentloaded")
    assert await page.evaluate(OPEN_WEBSOCKET, _websocket_of(notebook)) == "open"

    await page.goto(other_notebook.url, wait_until="domcontentloaded")
    assert await page.evaluate(OPEN_WEBSOCKET, _websocket_of(notebook)) == "refused"


async def test_where_no_token_is_asked_for_the_origin_still_is(
    browser: BrowserContext, notebook: OpenNotebook, run_notebook: RunNotebook
) -> None:
    unsecure = run_notebook("browser-unsecure", "--unsecure-http")
    page = await browser.new_page()
    errors: list[str] = []
    page.on("websocket", lambda websocket: websocket.on("socketerror", lambda error: errors.append(error)))
    await page.goto(f"{unsecure.origin}/lab", wait_until="domcontentloaded")
    assert await page.evaluate(OPEN_WEBSOCKET, _websocket_of(unsecure)) == "open"

    await page.goto(notebook.url, wait_until="domcontentloaded")
    assert await page.evaluate(OPEN_WEBSOCKET, _websocket_of(unsecure)) == "refused"
    assert [error for error in errors if "403" in error], errors


async def test_a_stopped_notebook_says_how_to_start_it(
    browser: BrowserContext, run_notebook: RunNotebook, pictures: Path | None
) -> None:
    stopped = run_notebook("browser-stopped")
    ctl("stop", stopped.name, "--wait")
    page = await browser.new_page()
    answer = await page.goto(stopped.url)

    assert answer is not None
    assert answer.status == 503
    await expect(page.get_by_role("heading")).to_have_text(f"Notebook {stopped.id} is stopped")
    await expect(page.locator("pre")).to_have_text(f"notebookctl start {stopped.id}")
    await _take_picture(page, pictures, "stopped.png")


def _websocket_of(notebook: OpenNotebook) -> str:
    return notebook.origin.replace("http:", "ws:") + "/api/events/subscribe"


async def _take_picture(page: Page, folder: Path | None, name: str) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=folder / name)
