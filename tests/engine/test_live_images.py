# SPDX-License-Identifier: Apache-2.0
"""The images of contrib/images as their users find them: examples run, and what pip installs stays.

An image that the notebookd of these tests does not offer is skipped: ``quickstart --image RECIPE`` adds it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.engine.live import CHECKOUT, Machine, root
from tests.engine.test_live_workspace import MAKE_WHEEL, WHEEL

pytestmark = pytest.mark.engine

RECIPES = CHECKOUT / "contrib" / "images"
FOREIGN_FILES = "find / -xdev ( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /workspace ) -prune"
MEBIBYTE = 2**20
USER_SITE = ".local/lib/python3.11/site-packages"
MAKE_BROKEN = "echo 'raise ImportError' > {0} && chmod +x {0}"
MAKE_EXTENSION = """
import json, zipfile
manifest = {"name": "teal", "publisher": "lab", "version": "1.0.0", "engines": {"vscode": "*"}}
with zipfile.ZipFile("/workspace/teal.vsix", "w") as package:
    package.writestr("extension/package.json", json.dumps(manifest))
"""


def is_offered(live: Machine, recipe: str) -> bool:
    """Whether this notebookd has the image of that recipe."""
    return recipe == "jupyterlab" or (live.config.parent / "catalogue.d" / f"{recipe}.toml").exists()


def offered(live: Machine, recipe: str) -> None:
    """Skip where this notebookd has no such image."""
    if not is_offered(live, recipe):
        pytest.skip(f"this notebookd does not offer the image {recipe}: quickstart --image {recipe}")


@pytest.fixture(scope="module")
def vscode(outer: Machine) -> Iterator[str]:
    """One notebook with VS Code for the tests that only read; they stand in a row, because ``live`` clears up."""
    offered(outer, "vscode")
    yield outer.run("conda", "vscode")
    outer.clean_up()


def run_example(live: Machine, notebook: str, recipe: str) -> list[dict[str, Any]]:
    """Execute a recipe's example in the notebook, as its user would by "Run all"; the outputs of its cells."""
    workspace = live.workspace(notebook)
    example = str(RECIPES / recipe / "example.ipynb")
    root("install", "-o", "notebookd", "-g", "notebookd-svc", "-m", "0644", example, f"{workspace}/example.ipynb")
    done = live.ctl("exec", notebook, "--", "jupyter", "execute", "example.ipynb", "--output=done", timeout_s=240)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    cells = json.loads(root("cat", f"{workspace}/done.ipynb"))["cells"]
    return [output for cell in cells for output in cell.get("outputs", ())]


def printed(outputs: list[dict[str, Any]]) -> str:
    return "".join("".join(output["text"]) for output in outputs if output["output_type"] == "stream")


def has_plot(outputs: list[dict[str, Any]]) -> bool:
    return any("image/png" in output.get("data", {}) for output in outputs)


def test_the_example_of_conda_plots(live: Machine) -> None:
    assert has_plot(run_example(live, live.run(), "jupyterlab"))


def test_the_example_of_sklearn_learns_and_plots(live: Machine) -> None:
    offered(live, "sklearn")
    outputs = run_example(live, live.run("sklearn"), "sklearn")
    assert has_plot(outputs)
    assert float(re.findall(r"accuracy ([0-9.]+)", printed(outputs))[0]) > 0.95


def test_the_example_of_pytorch_trains_with_workers(live: Machine) -> None:
    """They hand batches over in /dev/shm, which the engine makes too small for that by itself: 64 MiB."""
    offered(live, "pytorch")
    notebook = live.run("pytorch")
    outputs = run_example(live, notebook, "pytorch")
    shared = int(re.findall(r"with ([0-9]+) MiB of /dev/shm", printed(outputs))[0])
    assert shared > 64
    assert shared == live.container(notebook)["HostConfig"]["ShmSize"] // MEBIBYTE


@pytest.mark.long
@pytest.mark.parametrize("recipe", ["tensorflow", "huggingface"])
def test_the_example_of_a_large_framework_runs(live: Machine, recipe: str) -> None:
    offered(live, recipe)
    outputs = run_example(live, live.run(recipe), recipe)
    assert "loss" in printed(outputs)
    assert has_plot(outputs) == (recipe == "tensorflow")


def test_vscode_serves_its_workbench(outer: Machine, vscode: str) -> None:
    page = outer.fetch(vscode, "/?folder=/workspace", token=outer.token(vscode))
    assert page.status == 200
    assert b"workbench" in page.body
    assert b"enableTelemetry&quot;:false" in page.body
    assert outer.fetch(vscode, "/healthz").status in {302, 401, 403}, "the gateway asks who it is"


def test_vscode_tells_when_it_was_used(outer: Machine, vscode: str) -> None:
    """A look at /healthz is no use; a page is."""
    outer.fetch(vscode, "/?folder=/workspace", token=outer.token(vscode))
    answer = json.loads(outer.fetch(vscode, "/healthz", token=outer.token(vscode)).body)
    assert answer["status"] == "alive"
    assert answer["lastHeartbeat"] > 0


def test_vscodes_programs_are_complete(outer: Machine, vscode: str) -> None:
    """What its package would have fetched while it was installed: search, terminals, watching of files, logs."""
    code = "/usr/local/lib/code-server/lib/vscode"
    outer.execute(vscode, f"{code}/node_modules/@vscode/ripgrep/bin/rg", "--version")
    modules = json.dumps(["node-pty", "@vscode/spdlog", "@parcel/watcher", "native-watchdog"])
    script = f"const r = require('module').createRequire('{code}/x.js'); {modules}.forEach(name => r(name))"
    outer.execute(vscode, "/usr/local/lib/code-server/lib/node", "-e", script)


def test_vscode_listens_on_its_socket_alone(outer: Machine, vscode: str) -> None:
    listening = outer.execute(vscode, "cat", "/proc/net/tcp", "/proc/net/tcp6")
    assert [line for line in listening.splitlines() if line.split()[3:4] == ["0A"]] == []


def test_what_pip_installs_in_vscodes_terminal_stays(live: Machine) -> None:
    """And settings and extensions, which lie in the same workspace."""
    offered(live, "vscode")
    notebook = live.run("conda", "vscode")
    live.execute(notebook, "python3", "-c", MAKE_WHEEL)
    live.execute(notebook, "pip", "install", "--no-index", "--quiet", f"/workspace/{WHEEL}")
    settings = ".local/share/code-server/User/settings.json"
    assert '"telemetry.telemetryLevel": "off"' in live.execute(notebook, "cat", settings)
    live.execute(notebook, "sh", "-c", f"echo '{{}}' > {settings}")
    live.execute(notebook, "python3", "-c", MAKE_EXTENSION)
    live.execute(notebook, "code-server", "--install-extension", "/workspace/teal.vsix")
    live.execute(notebook, "sh", "-c", f"mkdir .local/bin && {MAKE_BROKEN.format('.local/bin/code-server')}")
    live.stop(notebook)
    live.start(notebook)
    assert live.execute(notebook, "python3", "-c", "import teal; print(teal.COLOUR)") == "teal\n"
    assert live.execute(notebook, "cat", settings) == "{}\n", "a user's own settings are left alone"
    assert "lab.teal-1.0.0" in live.execute(notebook, "ls", ".local/share/code-server/extensions")


def test_a_virtual_environment_can_be_made_and_stays(live: Machine) -> None:
    """With a pip of its own: nobody can install what it would lack."""
    notebook = live.run()
    live.execute(notebook, "python3", "-m", "venv", "mine")
    live.stop(notebook)
    live.start(notebook)
    assert "/workspace/mine/lib" in live.execute(notebook, "mine/bin/pip", "--version")


def test_no_package_of_a_users_keeps_jupyterlab_from_starting(live: Machine) -> None:
    notebook = live.run()
    broken = [MAKE_BROKEN.format(path) for path in (".local/bin/jupyter-lab", f"{USER_SITE}/tornado.py")]
    live.execute(notebook, "sh", "-c", f"mkdir -p .local/bin {USER_SITE} && {' && '.join(broken)}")
    live.stop(notebook)
    live.start(notebook)
    assert "going on without them" in live.ctl("logs", notebook).stdout


def test_a_terminal_finds_the_programs_that_pip_installs(live: Machine) -> None:
    """JupyterLab's are login shells."""
    assert live.execute(live.run(), "bash", "-lc", "echo $PATH").startswith("/workspace/.local/bin:")


LARGE = [pytest.param(recipe, marks=pytest.mark.long) for recipe in ("tensorflow", "huggingface")]


@pytest.mark.parametrize("recipe", ["jupyterlab", "pytorch", *LARGE])
def test_no_file_of_an_image_is_copied_for_a_notebooks_user_namespace(live: Machine, recipe: str) -> None:
    """Files of any other id than 42421 and up are: that is the whole image again, and seconds of its first start."""
    offered(live, recipe)
    notebook = live.run("conda" if recipe == "jupyterlab" else recipe)
    command = [*FOREIGN_FILES.split(), "-o", "-type", "f", "!", "-uid", "42421", "-print"]
    found = live.ctl("exec", notebook, "--", *command).stdout.split()
    assert {*found} <= {"/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/etc/mtab"}, found[:20]
