# SPDX-License-Identifier: Apache-2.0
"""JupyterLab in a browser, through the gateway: it works, and it does not notice that the daemon dies."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, expect

from tests.browser.conftest import OpenNotebook, ctl
from tests.browser.jupyterlab_page import JupyterLab

pytestmark = pytest.mark.browser

PLOT = """\
import numpy as np
import matplotlib.pyplot as plt

x = np.linspace(0, 4 * np.pi, 400)
fig, ax = plt.subplots(figsize=(8, 3))
for shift in (0, 1, 2):
    ax.plot(x, np.sin(x + shift) * np.exp(-x / 9), label=f"phase {shift}")
ax.legend();"""


def inside(notebook: OpenNotebook, script: str) -> str:
    return ctl("exec", notebook.name, "--", "sh", "-c", script)


async def test_a_cell_runs_and_shows_its_output_and_a_plot(
    browser: BrowserContext, notebook: OpenNotebook, pictures: Path | None
) -> None:
    lab = JupyterLab(await browser.new_page())
    await lab.open(notebook.origin, notebook.token)
    await lab.open_notebook()
    await expect(await lab.run_cell("print(6 * 7)")).to_have_text("42", timeout=30_000)
    plot = (await lab.run_cell(PLOT)).locator("img")
    await expect(plot).to_be_visible(timeout=30_000)
    assert await plot.evaluate("image => image.naturalWidth") > 300
    await lab.take_picture(pictures, "jupyterlab.png")


async def test_the_tab_has_the_notebooks_name_and_no_news_pops_up(
    browser: BrowserContext, notebook: OpenNotebook
) -> None:
    lab = JupyterLab(await browser.new_page())
    await lab.open(notebook.origin, notebook.token)
    await expect(lab.page).to_have_title(notebook.name, timeout=30_000)
    await lab.open_notebook()
    await expect(lab.page).to_have_title(re.compile(rf"^Untitled.* - {notebook.name}$"), timeout=30_000)
    await asyncio.sleep(3)  # the question for news comes a moment after the page
    await expect(lab.page.locator(".Toastify__toast")).to_have_count(0)


async def test_a_delete_in_the_file_browser_frees_room(browser: BrowserContext, notebook: OpenNotebook) -> None:
    """A folder with what is in it, after a question that says so."""
    inside(notebook, "mkdir -p heap/low && head -c 5M /dev/urandom >heap/low/big")
    lab = JupyterLab(await browser.new_page())
    await lab.open(notebook.origin, notebook.token)
    await expect(lab.files("README.md")).to_be_visible(timeout=30_000)
    await lab.delete("heap")
    assert inside(notebook, "find /workspace -size +1M") == ""


async def test_the_kernel_channel_outlives_the_daemon(
    browser: BrowserContext, notebook: OpenNotebook, service: Callable[[str, str], None]
) -> None:
    lab = JupyterLab(await browser.new_page())
    await lab.open(notebook.origin, notebook.token)
    await lab.open_notebook()
    await expect(await lab.run_cell("kept = 6; print(kept)")).to_have_text("6", timeout=30_000)
    before = len(lab.kernel_channels)
    closed = len(lab.closed)

    await asyncio.to_thread(service, "kill", "daemon")
    await expect(await lab.run_cell("print(kept * 7)")).to_have_text("42", timeout=30_000)
    await asyncio.to_thread(service, "start", "daemon")
    await expect(await lab.run_cell("print(kept * 8)")).to_have_text("48", timeout=30_000)

    assert before >= 1
    assert len(lab.kernel_channels) == before
    assert lab.closed[closed:] == []
