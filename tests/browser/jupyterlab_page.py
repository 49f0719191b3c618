# SPDX-License-Identifier: Apache-2.0
"""JupyterLab as its user meets it: by what is on the screen."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.async_api import Locator, Page, WebSocket, expect

SHOWN_MS = 30_000
RAN = re.compile(r"\[\d+\]:")


class JupyterLab:
    """A browser page that shows JupyterLab."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.websockets: list[WebSocket] = []
        self.closed: list[str] = []
        page.on("websocket", self._note)

    def _note(self, websocket: WebSocket) -> None:
        self.websockets.append(websocket)
        websocket.on("close", lambda closed: self.closed.append(closed.url))

    async def open(self, origin: str, token: str) -> None:
        """Go there and wait for the launcher."""
        await self.page.goto(f"{origin}/lab?reset&token={token}")  # without what another test left open
        await expect(self._kernel_card).to_be_visible(timeout=SHOWN_MS)

    async def open_notebook(self) -> None:
        """A new notebook with the first kernel that the launcher offers, ready to run something."""
        await self._kernel_card.click()
        await expect(self.page.locator(".jp-Notebook .jp-Cell").first).to_be_visible(timeout=SHOWN_MS)
        ready = self.page.get_by_role("button", name="| Idle")  # in the status bar
        await expect(ready).to_be_visible(timeout=SHOWN_MS)

    async def run_cell(self, code: str) -> Locator:
        """Run ``code`` in the last cell; gives that cell's output once it ran."""
        cells = self.page.locator(".jp-Notebook .jp-CodeCell")
        cell = cells.nth(await cells.count() - 1)
        editor = cell.locator(".cm-content")
        await editor.click()
        await expect(editor).to_be_focused()
        await self.page.keyboard.insert_text(code)
        await expect(editor).to_contain_text(code.splitlines()[0])
        await editor.press("Shift+Enter")
        await expect(cell.locator(".jp-InputPrompt")).to_have_text(RAN, timeout=SHOWN_MS)
        return cell.locator(".jp-OutputArea-output")

    async def take_picture(self, folder: Path | None, name: str) -> None:
        """Save what is on the screen, when there is a folder for it."""
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            await self.page.screenshot(path=folder / name)

    @property
    def kernel_channels(self) -> list[WebSocket]:
        """The websockets to kernels that were opened so far, closed ones among them."""
        return [each for each in self.websockets if "/channels" in each.url]

    def files(self, name: str) -> Locator:
        """A file or folder in the file browser."""
        return self.page.locator(".jp-DirListing-item").filter(has=self.page.get_by_text(name, exact=True))

    async def delete(self, name: str) -> None:
        """Delete a file or folder by its menu, and say yes to the question."""
        await self.files(name).click(button="right")
        await self.page.get_by_role("menuitem", name="Delete").click()
        question = self.page.locator(".jp-Dialog")
        await expect(question).to_contain_text(f"permanently delete: {name}")
        await question.get_by_role("button", name="Delete").click()
        await expect(self.files(name)).to_have_count(0, timeout=SHOWN_MS)

    @property
    def _kernel_card(self) -> Locator:
        return self.page.locator(".jp-LauncherCard[data-category='Notebook']").first
