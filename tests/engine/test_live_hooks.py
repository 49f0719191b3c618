# SPDX-License-Identifier: Apache-2.0
"""GPUs by environment: a stand-in for NVIDIA's OCI hook, which rootless Podman really calls."""

from __future__ import annotations

import json
import os
import textwrap
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from notebookd import wire
from notebookd.client import Refused
from tests.engine.live import Machine, open_folder, root
from tests.engine.test_live_image_third_party import build, offer

pytestmark = pytest.mark.engine
__all__ = ["offer"]

HOOKS = Path("/usr/share/containers/oci/hooks.d")
IMAGE = "localhost/third-party/every-gpu:1"
RECIPE = {
    "Containerfile": """
        FROM localhost/notebookd/jupyterlab:1
        ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=all
    """
}
ENTRY = f"""
[[framework]]
id = "every-gpu"
name = "Every GPU"
[[image]]
editor = "jupyterlab"
framework = "every-gpu"
version = "1"
image = "{IMAGE}"
command = ["jupyter-lab", "--no-browser", "--ServerApp.sock=/run/editor/editor.sock", "--ServerApp.sock_mode=0660",
    "--IdentityProvider.token=", "--ServerApp.allow_remote_access=True"]
"""
HOOK = """
    #!/usr/bin/python3
    import json, sys
    from pathlib import Path
    state = json.load(sys.stdin)
    config = json.loads(Path(state["bundle"], "config.json").read_text())
    asked = [each for each in config["process"]["env"] if "VISIBLE_DEVICES" in each]
    noted = {{"root": config["root"]["path"], "asked": asked}}
    Path({folder!r}, config["hostname"] + "-" + state["id"]).write_text(json.dumps(noted))
"""


@pytest.fixture
def asked_for() -> Iterator[Path]:
    """A folder in which the hook notes, by container, what was asked for.

    Skips where the engine calls no hooks, as rootless Podman does from 5 on unless ``hooks_dir`` names a folder: there
    nobody gets a GPU by one.
    """
    with open_folder() as folder:
        program, notes = folder / "hook", folder / "notes"
        notes.mkdir()
        notes.chmod(0o777)
        program.write_text(textwrap.dedent(HOOK.format(folder=str(notes))).lstrip())
        program.chmod(0o755)
        config = {
            "version": "1.0.0",
            "hook": {"path": str(program)},
            "when": {"always": True},
            "stages": ["prestart"],
        }
        file = HOOKS / f"notebookd-test-{uuid.uuid4().hex[:8]}.json"
        root("mkdir", "-p", str(HOOKS))
        root("tee", str(file), text=json.dumps(config))
        try:
            if not _is_called(notes):
                pytest.skip("this engine calls no hooks")
            yield notes
        finally:
            root("rm", "-f", str(file))


def _is_called(notes: Path) -> bool:
    """Whether a container of the engine's that has nothing to do with notebookd runs the hook."""
    engine = f"unix://{os.environ['NOTEBOOKD_ENGINE']}"
    image = ("--network=none", "localhost/notebookd/jupyterlab:1", "true")
    root("podman", "--url", engine, "run", "--rm", *image, timeout_s=60)
    called = any(notes.iterdir())
    for note in notes.iterdir():
        note.unlink()
    return called


def test_a_hook_finds_no_gpus_asked_for_whatever_an_image_says(
    live: Machine, offer: Callable[[str, str], None], asked_for: Path
) -> None:
    build(live, IMAGE, RECIPE)
    offer(ENTRY, "every-gpu")
    notebook = live.run("every-gpu", resources=wire.Resources(cpu=1))
    (noted,) = asked_for.glob(f"*-{live.container(notebook)['Id']}")
    assert json.loads(noted.read_text())["asked"] == ["NVIDIA_VISIBLE_DEVICES=void"]


def test_a_mover_asks_for_no_gpus(live: Machine, asked_for: Path, tmp_path: Path) -> None:
    notebook = live.run()
    live.execute(notebook, "touch", "/workspace/file")
    live.stop(notebook)
    assert live.ctl("cp", f"{notebook}:file", str(tmp_path / "file")).returncode == 0
    noted = [json.loads(each.read_text()) for each in asked_for.glob("mover-*")]
    own = [each["asked"] for each in noted if each["root"].startswith(str(live.state_folder))]
    assert own
    assert all(asked == ["NVIDIA_VISIBLE_DEVICES=void"] for asked in own)


def test_a_notebook_cannot_ask_for_gpus(live: Machine) -> None:
    with pytest.raises(Refused, match="NVIDIA_VISIBLE_DEVICES cannot be set: the GPUs of a notebook are those"):
        live.create(env={"NVIDIA_VISIBLE_DEVICES": "all"})
