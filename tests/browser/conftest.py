# SPDX-License-Identifier: Apache-2.0
"""Chromium in front of the gateway that ``NOTEBOOKD_GATEWAY`` names, and notebooks behind it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from playwright.async_api import BrowserContext, async_playwright

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WINDOW = {"width": 1280, "height": 800}
SERVICE = Path(__file__).parents[2] / "contrib" / "lib" / "service"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenNotebook:
    """A notebook that was seen RUNNING. ``url`` carries the token, ``origin`` does not."""

    id: str
    name: str
    url: str

    @property
    def origin(self) -> str:
        return self.url.partition("/?")[0]

    @property
    def token(self) -> str:
        return self.url.partition("token=")[2]


class RunNotebook(Protocol):
    """Starts a notebook of that name, with further options of ``notebookctl run``."""

    def __call__(self, name: str, *options: str) -> OpenNotebook: ...


def ctl(*words: str) -> str:
    """What ``notebookctl`` prints."""
    return subprocess.run(["notebookctl", *words], check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(scope="session", autouse=True)
def machine() -> None:
    """Skips where there is nothing to look at, or nothing to look with."""
    if "NOTEBOOKD_GATEWAY" not in os.environ:
        pytest.skip("NOTEBOOKD_GATEWAY names no gateway")
    if shutil.which("notebookctl") is None:
        pytest.skip("notebookctl is not on PATH")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")


@pytest.fixture(scope="session")
def run_notebook(machine: None) -> Iterator[RunNotebook]:
    """Starts notebooks; all are deleted at the end."""
    made: list[str] = []

    def run(name: str, *options: str) -> OpenNotebook:
        made.append(name)
        ctl("run", "conda", "jupyterlab", "--name", name, "--gpu", "1", *options, "--wait")
        return OpenNotebook(
            id=json.loads(ctl("get", name, "-o", "json"))["id"], name=name, url=ctl("url", name).strip()
        )

    yield run
    for name in made:
        subprocess.run(["notebookctl", "delete", name, "--yes", "--force"], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="session")
def notebook(run_notebook: RunNotebook) -> OpenNotebook:
    """A running notebook that no test stops."""
    return run_notebook("browser-one")


@pytest.fixture(scope="session")
def other_notebook(run_notebook: RunNotebook) -> OpenNotebook:
    """Another, of the same owner."""
    return run_notebook("browser-two")


@pytest.fixture
async def browser(machine: None) -> AsyncIterator[BrowserContext]:
    """A browser of its own for each test: no cookie of an earlier one."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(CHROMIUM_ARGUMENTS), headless=True
        )
        context = await chromium.new_context(viewport=WINDOW, color_scheme="light")
        yield context
        await context.close()
        await chromium.close()


@pytest.fixture
def pictures() -> Path | None:
    """Where pictures of the screen are wanted, if they are."""
    folder = os.environ.get("NOTEBOOKD_SCREENSHOTS")
    return Path(folder) if folder else None


@pytest.fixture
def service() -> Callable[[str, str], None]:
    """Starts, stops and kills a service of the run: ``service("kill", "daemon")``."""
    run = os.environ.get("NOTEBOOKD_RUN")
    if not run:
        pytest.skip("NOTEBOOKD_RUN names no run of quickstart")
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]

    def act(action: str, name: str) -> None:
        command = [*as_root, "env", f"NOTEBOOKD_RUN={run}", str(SERVICE), action, name]
        subprocess.run(command, check=True, timeout=60)

    return act
