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

from tests.engine.jupyter import begin
from tests.engine.live import CHECKOUT, Machine, eventually, root
from tests.engine.test_live_workspace import MAKE_WHEEL, WHEEL

pytestmark = pytest.mark.engine

RECIPES = CHECKOUT / "contrib" / "images"
JUPYTERLAB = re.findall(r"(?m)^jupyterlab==(\S+)", (RECIPES / "jupyterlab" / "requirements.lock").read_text())[0]
FOREIGN_FILES = "find / -xdev ( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /workspace ) -prune"
EXAMPLES = "/usr/local/share/notebookd/examples"
MEBIBYTE = 2**20
OLD_EVENTS = "import time; raise AttributeError('no such thing in this old jupyter_events')"
MANUALS = "bash curl git git-lfs htop jq less make nano ps rsync ssh tmux top unzip vi wget zip"
TOOLS = f"{MANUALS} cc gcc file g++ man scp ssh-keygen xz"
CONFIGURED = ".jupyter/jupyter_server_config.py"
BUSY = """
from jupyter_server.base.handlers import APIVersionHandler
APIVersionHandler.get = lambda self: self.send_error(503)
"""
EMPTY = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
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


@pytest.fixture(scope="module")
def base(outer: Machine) -> Iterator[str]:
    """One notebook with JupyterLab for the tests that only read; they stand in a row, because ``live`` clears up."""
    yield outer.run()
    outer.clean_up()


def run_example(live: Machine, notebook: str, recipe: str) -> list[dict[str, Any]]:
    """Execute a recipe's example in the notebook, as its user would by "Run all"; the outputs of its cells."""
    example = f"{EXAMPLES}/{recipe}.ipynb"
    assert live.execute(notebook, "cat", example) == (RECIPES / recipe / "example.ipynb").read_text()
    script = f"cp {example} . && jupyter execute {recipe}.ipynb --output=done"
    done = live.ctl("exec", notebook, "--", "sh", "-c", script, timeout_s=240)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    cells = json.loads(root("cat", f"{live.workspace(notebook)}/done.ipynb"))["cells"]
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


def lab(live: Machine, notebook: str, path: str, method: str = "GET", **body: object) -> Any:
    """What JupyterLab answers, through the gateway; None where that is nothing."""
    text = json.dumps(body) if body else ""
    answer = live.fetch(notebook, path, token=live.token(notebook), method=method, body=text)
    assert answer.status in {200, 201, 204}, (answer.status, answer.body[:500])
    return json.loads(answer.body) if answer.body.startswith((b"{", b"[")) else None


def restart(live: Machine, notebook: str) -> None:
    live.stop(notebook)
    live.start(notebook)


def test_the_editor_is_the_images_whatever_a_users_pip_installs(live: Machine) -> None:
    """An older JupyterLab, a jupyter_events that cannot be imported, a program of its name: kernels see the packages,
    the editor does not, and a server extension that the image lacks is loaded."""
    notebook = live.run()
    site, configured = f"/workspace/{USER_SITE}", "/workspace/.local/etc/jupyter/jupyter_server_config.d"
    script = f"""
        mkdir -p .local/bin {site}/jupyterlab {configured}
        echo '__version__ = "4.2.5"' >{site}/jupyterlab/__init__.py
        echo "{OLD_EVENTS}" >{site}/jupyter_events.py
        {MAKE_BROKEN.format(".local/bin/jupyter-lab")}
        echo '{{"ServerApp": {{"jpserver_extensions": {{"teal": true}}}}}}' >{configured}/teal.json
        cat >{site}/teal.py <<'END'
def _jupyter_server_extension_points():
    return [{{"module": "teal"}}]
def _load_jupyter_server_extension(app):
    app.log.info("teal is there")
END
    """
    live.execute(notebook, "sh", "-c", script)
    restart(live, notebook)
    page = live.fetch(notebook, "/lab", token=live.token(notebook)).body.decode()
    assert re.findall(r'"appVersion": "([0-9.]+)"', page) == [JUPYTERLAB]
    log = live.ctl("logs", notebook).stdout
    assert "teal is there" in log
    assert "going on without them" not in log
    assert live.execute(notebook, "python3", "-c", "import jupyterlab; print(jupyterlab.__version__)") == "4.2.5\n"


@pytest.mark.parametrize("line", ["c.ServerApp.port = 'none'", "raise SystemExit(3)"])
def test_no_configuration_of_a_users_keeps_jupyterlab_from_starting(live: Machine, line: str) -> None:
    """It starts without it, and says so."""
    notebook = live.run()
    live.execute(notebook, "sh", "-c", f'mkdir -p .jupyter && echo "{line}" >{CONFIGURED}')
    restart(live, notebook)
    assert lab(live, notebook, "/api")["version"]
    assert "going on without them" in live.ctl("logs", notebook).stdout


def test_an_address_of_a_users_own_does_not_move_jupyterlab(live: Machine) -> None:
    notebook = live.run()
    lines = "c.ServerApp.base_url = '/mine/'\nc.ServerApp.certfile = '/nowhere.pem'\n"
    live.execute(notebook, "sh", "-c", f'mkdir -p .jupyter && printf "{lines}" >{CONFIGURED}')
    restart(live, notebook)
    assert "going on without them" not in live.ctl("logs", notebook).stdout
    assert lab(live, notebook, "/api")["version"]


def test_what_keeps_an_editor_from_answering_is_named_within_a_minute(live: Machine) -> None:
    """And the way out that is named leads out."""
    notebook = live.run()
    live.execute(notebook, "sh", "-c", f"mkdir -p .jupyter && printf %s '{BUSY}' >{CONFIGURED}")
    live.stop(notebook)
    live.client.start_notebook(notebook)
    seen = "it is there, and answers 503 (Service Unavailable) when it is asked for /api"
    eventually(lambda: live.ctl("why", notebook).stdout, lambda told: seen in told, what="the cause")
    assert live.get(notebook).status.info.message == f"the notebook is STARTING; its editor does not answer: {seen}"
    live.execute(notebook, "mv", "/workspace/.jupyter", "/workspace/.jupyter.aside")
    restart(live, notebook)
    assert seen not in live.ctl("why", notebook).stdout


def test_what_is_deleted_in_jupyterlab_is_gone(live: Machine) -> None:
    """Files and whole folders: no trash holds them. A link is deleted as a link."""
    notebook = live.run()
    script = (
        "mkdir -p heap/low keep && head -c 5M /dev/zero | tee big >heap/low/big; echo kept >keep/it; ln -s keep link"
    )
    live.execute(notebook, "sh", "-c", script)
    for name in ("big", "heap", "link"):
        lab(live, notebook, f"/api/contents/{name}", "DELETE")
    assert live.execute(notebook, "find", "/workspace", "-size", "+1M") == ""
    assert live.execute(notebook, "find", "/workspace", "-iname", "*trash*") == ""
    assert live.execute(notebook, "sh", "-c", "ls; cat keep/it") == "README.md\nexamples\nkeep\nkept\n"


def test_a_new_workspace_has_a_readme_and_examples_once(live: Machine) -> None:
    notebook = live.run()
    assert live.execute(notebook, "ls").split() == ["README.md", "examples"]
    told = live.execute(notebook, "sh", "-c", "echo examples/*; touch examples/x 2>&1 || true").splitlines()
    assert told[0] == "examples/jupyterlab.ipynb"
    assert "Permission denied" in told[1]
    live.execute(notebook, "sh", "-c", "echo mine >README.md; rm examples")
    restart(live, notebook)
    assert live.execute(notebook, "sh", "-c", "ls; cat README.md") == "README.md\nmine\n"


def test_the_tools_and_their_manuals_are_there(outer: Machine, base: str) -> None:
    assert outer.execute(base, "sh", "-c", f"which {TOOLS} | wc -l").strip() == str(len(TOOLS.split()))
    pages = outer.execute(base, "sh", "-c", f"for each in {MANUALS}; do man -w $each || echo no $each; done")
    assert [line for line in pages.splitlines() if line.startswith("no ")] == []
    assert len(outer.execute(base, "man", "less").splitlines()) > 100


def test_a_program_in_c_and_a_module_for_python_compile(outer: Machine, base: str) -> None:
    script = """
        set -e; cd /tmp
        printf '#include <Python.h>\\n#include <stdio.h>\\nint main(void) { puts(PY_VERSION); return 0; }\\n' >x.c
        gcc $(python3-config --includes) x.c -o x && ./x
        printf '#include <iostream>\\nint main() { std::cout << 42; }\\n' >y.cc && g++ y.cc -o y && ./y
    """
    assert re.fullmatch(r"3\.11\.[0-9]+\n42", outer.execute(base, "bash", "-c", script))


def test_git_commits_with_an_editor_and_knows_ssh_and_lfs(outer: Machine, base: str) -> None:
    """A commit without -m opens nano, which writes what is there and leaves."""
    script = r"""
        set -e; cd $(mktemp -d); git init -q; git config user.name a; git config user.email a@b
        echo x >x; git add x; export TERM=xterm
        [ "$(readlink -f "$(which "$(git var GIT_EDITOR)")")" = /usr/bin/nano ] || git var GIT_EDITOR
        (sleep 2; printf 'by hand\030y\r'; sleep 1) | script -qec 'git commit' /dev/null >/dev/null
        git log --format=%s; git lfs env | grep -c 'git config filter.lfs.smudge'
        GIT_SSH_COMMAND='ssh -o ConnectTimeout=1' git ls-remote ssh://nobody@127.0.0.1:9/x 2>&1 | head -n 1
    """
    said = outer.execute(base, "bash", "-c", script).splitlines()
    assert said[:2] == ["by hand", "1"]
    assert "ssh: connect to host 127.0.0.1 port 9" in said[2]


def test_no_key_of_an_ssh_server_is_in_the_image(outer: Machine, base: str) -> None:
    assert outer.execute(base, "sh", "-c", "command -v sshd || ls /usr/sbin/sshd").strip() == "/usr/sbin/sshd"
    assert outer.execute(base, "find", "/etc/ssh", "-name", "ssh_host_*") == ""


def test_a_shell_is_bash_with_completion_and_keeps_its_history(live: Machine) -> None:
    """In exec and in JupyterLab's terminals, and when its container is killed."""
    notebook = live.run()
    assert live.execute(notebook, "printenv", "SHELL") == "/bin/bash\n"
    typed = "echo remembered\n_completion_loader git; complete -p git && echo completed\nkill -9 $$\n"
    for shell in ("bash -i", "bash -il"):
        said = live.ctl("exec", "-i", notebook, "--", *shell.split(), text=typed)
        assert "completed" in said.stdout, said
    assert live.execute(notebook, "grep", "-c", "^echo remembered$", ".bash_history") == "2\n"
    begin(live, notebook, "terminals")
    shells = live.execute(notebook, "sh", "-c", "sleep 1; ps -o args= -C bash")
    assert "/bin/bash -l" in shells


def test_data_elsewhere_is_in_the_file_browser_and_checkpoints_are_not_in_it(live: Machine) -> None:
    """They stay in the owner's workspace: others see the folder."""
    notebook = live.run(volumes=["standalone:/data"])
    for path in ("data/shared.ipynb", "own.ipynb"):
        lab(live, notebook, f"/api/contents/{path}", "PUT", type="notebook", format="json", content=EMPTY)
        lab(live, notebook, f"/api/contents/{path}/checkpoints", "POST")
        assert [each["id"] for each in lab(live, notebook, f"/api/contents/{path}/checkpoints")] == ["checkpoint"]
    assert [each["name"] for each in lab(live, notebook, "/api/contents/data")["content"]] == ["shared.ipynb"]
    assert live.execute(notebook, "ls", "-A", "/data") == "shared.ipynb\n"
    live.execute(notebook, "sh", "-c", "echo lost >/data/shared.ipynb")
    lab(live, notebook, "/api/contents/data/shared.ipynb/checkpoints/checkpoint", "POST")
    assert json.loads(live.execute(notebook, "cat", "/data/shared.ipynb")) == EMPTY
    lab(live, notebook, "/api/contents/data", "DELETE")
    assert live.execute(notebook, "ls", "-A", "/data") == "shared.ipynb\n", "the link is deleted, and no data"


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
