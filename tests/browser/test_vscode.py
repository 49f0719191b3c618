# SPDX-License-Identifier: Apache-2.0
"""VS Code in a browser, through the gateway: a file is opened, edited and saved, and a terminal runs it."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, expect

from tests.browser.conftest import OpenNotebook, ctl

pytestmark = pytest.mark.browser

NAME = "browser-vscode"


@pytest.fixture(scope="module")
def notebook(machine: None) -> Iterator[OpenNotebook]:
    """A notebook with VS Code and a file in it."""
    if "vscode" not in ctl("capabilities", "editor", "-o", "json"):
        pytest.skip("this notebookd does not offer VS Code: quickstart --image vscode")
    ctl("run", "conda", "vscode", "--name", NAME, "--gpu", "1", "--wait")
    inside("echo 'print(6 * 7)' > hello.py")
    yield OpenNotebook(id=json.loads(ctl("get", NAME, "-o", "json"))["id"], name=NAME, url=ctl("url", NAME).strip())
    ctl("delete", NAME, "--yes", "--force")


def inside(script: str) -> str:
    return ctl("exec", NAME, "--", "sh", "-c", script)


async def eventually_inside(script: str, wanted: str) -> None:
    """What the page does reaches the workspace a moment later."""
    told = ""
    async with asyncio.timeout(20):
        while told != wanted:
            try:
                told = await asyncio.to_thread(inside, script)
            except subprocess.CalledProcessError:
                told = ""


async def test_a_file_is_edited_and_saved_and_a_terminal_runs_it(
    browser: BrowserContext, notebook: OpenNotebook, pictures: Path | None
) -> None:
    page = await browser.new_page()
    await page.goto(notebook.url)
    await expect(page.locator(".explorer-viewlet")).to_be_visible(timeout=30_000)
    await page.get_by_role("treeitem", name="hello.py").dblclick()
    await expect(page).to_have_title(re.compile(rf"hello\.py.*{NAME}"), timeout=20_000)
    lines = page.locator(".monaco-editor .view-lines").first
    await expect(lines).to_contain_text("print(6", timeout=20_000)
    await lines.click()
    await page.keyboard.press("Control+End")
    await page.keyboard.insert_text("print('edited')\n")  # typed, its brackets would close themselves
    await expect(lines).to_contain_text("edited")
    await page.keyboard.press("Control+s")
    await eventually_inside("cat hello.py", "print(6 * 7)\nprint('edited')\n")

    await page.keyboard.press("Control+`")
    screen = page.locator(".terminal .xterm-screen")
    await expect(screen).to_be_visible(timeout=20_000)
    await eventually_inside("grep -lx bash /proc/[0-9]*/comm | wc -l", "1\n")
    await screen.click()
    await page.keyboard.type("python3 hello.py | tee told.txt\n")
    await eventually_inside("cat told.txt", "42\nedited\n")
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=pictures / "vscode.png")


async def test_a_delete_in_the_explorer_frees_room(browser: BrowserContext, notebook: OpenNotebook) -> None:
    inside("head -c 5M /dev/urandom >heap.bin")
    page = await browser.new_page()
    await page.goto(notebook.url)
    entry = page.get_by_role("treeitem", name="heap.bin")
    await entry.click(timeout=30_000)
    await entry.press("Delete")
    question = page.get_by_role("dialog")
    await expect(question).to_contain_text("permanently delete 'heap.bin'")
    await question.get_by_role("button", name="Delete", exact=True).click()
    await expect(entry).to_have_count(0, timeout=20_000)
    assert inside("find /workspace -size +4M") == ""
