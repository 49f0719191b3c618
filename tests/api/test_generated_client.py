# SPDX-License-Identifier: Apache-2.0
"""A client that openapi-python-client makes of the description, used on a real socket."""

from __future__ import annotations

import asyncio
import json
import subprocess
import venv
from pathlib import Path

import pytest

from notebookd.api import openapi
from notebookd.api.app import ROUTES
from tests.api.caller import Api

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

GENERATOR = "openapi-python-client==0.29.1"
PROGRAM = """
import io, sys, tarfile
import httpx
from made import Client
from made.api.event import list_events
from made.api.notebook import create_notebook, get_notebook, read_notebook_files, write_notebook_files
from made.models import NotebookEnv, NotebookSpec
from made.types import File

running = sys.argv[2]
client = Client("http://localhost", httpx_args={"transport": httpx.HTTPTransport(uds=sys.argv[1])})
spec = NotebookSpec(env=NotebookEnv(editor_id="jupyterlab", framework_id="conda"), name="generated")
made = create_notebook.sync(client=client, body=spec)
assert made.spec.name == "generated", made
out = io.BytesIO()
with tarfile.open(fileobj=out, mode="w") as tar:
    tar.addfile(tarfile.TarInfo("empty"))
body = File(payload=io.BytesIO(out.getvalue()))
written = write_notebook_files.sync_detailed(running, client=client, body=body)
assert written.status_code == 204, written
names = tarfile.open(fileobj=read_notebook_files.sync(running, client=client).payload).getnames()
assert any(name.endswith("empty") for name in names), names
assert "notebook.state" in list_events.sync(client=client)
print(get_notebook.sync(made.id, client=client).id)
"""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a virtual environment, and the client that was made in it."""
    folder = tmp_path_factory.mktemp("generated")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", GENERATOR, "ruff"], check=True)
    (folder / "openapi.json").write_text(json.dumps(openapi.document(ROUTES, "0")), encoding="utf-8")
    return folder


def generate(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the generator; its bin folder is on PATH, since it looks for ruff there."""
    bin_folder = folder / "venv" / "bin"
    words = [bin_folder / "openapi-python-client", "generate", "--path", folder / "openapi.json", "--fail-on-warning"]
    return subprocess.run(
        [*words, "--meta", "none", "--output-path", folder / "made", "--overwrite"],
        env={"PATH": f"{bin_folder}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_a_client_is_generated_without_a_warning_and_works(generated: Path, api: Api) -> None:
    made = generate(generated)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "WARNING" not in made.stdout + made.stderr
    program = generated / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    python = str(generated / "venv" / "bin" / "python")
    ran = await asyncio.create_subprocess_exec(
        *(python, str(program), str(api.socket), await api.create()), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await ran.communicate()
    assert ran.returncode == 0, said.decode()
    await api.house.quiet()
    assert await api.state(said.decode().strip()) == "RUNNING"
