# SPDX-License-Identifier: Apache-2.0
"""Images that others made run by an entry in the catalogue alone; docs/images.md has the entries.

Look-alikes stand for them: the same accounts, homes, entry points and paths, made from the images that are here.
"""

from __future__ import annotations

import io
import json
import tarfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.farewell import sees_everybody_off
from tests.engine.live import CHECKOUT, Machine, eventually, open_folder, root
from tests.engine.test_live_images import offered
from tests.engine.test_live_workspace import MAKE_WHEEL, WHEEL

pytestmark = pytest.mark.engine

DOCUMENT = CHECKOUT / "docs" / "images.md"

JUPYTER_STACK = {
    "Containerfile": """
        FROM localhost/notebookd/jupyterlab:1
        USER 0:0
        RUN /usr/sbin/groupadd --gid 1000 jovyan && /usr/sbin/useradd --uid 1000 --gid 100 --create-home jovyan
        COPY --chown=42421:42421 start.sh start-notebook.sh /usr/local/bin/
        ENV HOME=/home/jovyan NB_USER=jovyan NB_UID=1000 NB_GID=100 JUPYTER_PORT=8888 PATH=/usr/local/bin:/usr/bin:/bin
        USER 1000
        WORKDIR /home/jovyan
        ENTRYPOINT ["tini", "-g", "--", "start.sh"]
        CMD ["start-notebook.sh"]
        HEALTHCHECK CMD ["false"]
    """,
    "start.sh": """
        #!/bin/bash
        set -e
        [[ $# -gt 0 ]] || set -- start-notebook.sh
        [[ $(id -u) == "$NB_UID" ]] || { echo "this is no $NB_UID" >&2; exit 1; }
        exec "$@"
    """,
    "start-notebook.sh": """
        #!/bin/bash
        set -e
        exec start.sh jupyter lab --no-browser "$@"
    """,
}

CODE_SERVER = {
    "Containerfile": """
        FROM localhost/notebookd/vscode:1
        USER 0:0
        RUN /usr/sbin/groupadd --gid 1000 coder && /usr/sbin/useradd --uid 1000 --gid 1000 --create-home coder
        COPY --chown=42421:42421 entrypoint.sh fixuid code-server /usr/bin/
        RUN rm -rf /usr/local/bin/code-server /usr/local/share/notebookd/vscode
        EXPOSE 8080
        ENV USER=coder ENTRYPOINTD=/home/coder/entrypoint.d HOME=/home/coder
        USER 1000
        WORKDIR /home/coder
        ENTRYPOINT ["/usr/bin/entrypoint.sh", "--bind-addr", "0.0.0.0:8080", "."]
        CMD []
    """,
    "fixuid": """
        #!/bin/sh
        echo "fixuid: not running as root" >&2
        exit 1
    """,
    "entrypoint.sh": """
        #!/bin/sh
        set -eu
        eval "$(fixuid -q)"
        if [ -d "$ENTRYPOINTD" ]; then find "$ENTRYPOINTD" -type f -executable -print -exec {} \\;; fi
        exec /usr/bin/code-server "$@"
    """,
    "code-server": """
        #!/bin/sh
        exec /usr/local/lib/code-server/lib/node /usr/local/lib/code-server/out/node/entry.js "$@"
    """,
}


def context(files: dict[str, str]) -> bytes:
    """A build context."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in files.items():
            body = textwrap.dedent(text).lstrip().encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(body), 0o755
            archive.addfile(entry, io.BytesIO(body))
    return packed.getvalue()


def build(live: Machine, image: str, files: dict[str, str]) -> None:
    """Build an image in the engine that the notebooks run in."""
    url = f"http://d/v4.0.0/libpod/build?t={image}&dockerfile=Containerfile&layers=false&networkmode=host"
    with open_folder() as folder:
        archive = Path(folder, "context.tar")
        archive.write_bytes(context(files))
        told = root(
            *("curl", "--silent", "--show-error", "--unix-socket", str(live.engine)),
            *("--header", "Content-Type: application/x-tar", "--data-binary", f"@{archive}", url),
            timeout_s=120,
        )
    assert "error" not in json.loads(told.splitlines()[-1]), told[-2000:]


def documented(heading: str) -> str:
    """The first piece of TOML under a heading of docs/images.md."""
    below = DOCUMENT.read_text().split(f"## {heading}\n", 1)[1]
    return below.split("```toml\n", 1)[1].split("```", 1)[0]


@pytest.fixture
def offer(live: Machine) -> Iterator[Callable[[str, str], None]]:
    """Lays a file into catalogue.d, has it read, and takes it away again."""
    file = str(live.config.parent / "catalogue.d" / "third-party.toml")

    def reread() -> None:
        root("kill", "-HUP", (live.run_folder / "daemon.pid").read_text().split()[0])

    def lay(text: str, framework: str) -> None:
        root("tee", file, text=text)
        reread()
        eventually(lambda: str(live.client.list_frameworks().body), lambda seen: framework in seen, within_s=10)

    yield lay
    root("rm", "-f", file)
    reread()


def test_an_image_of_the_jupyter_stacks_shape(live: Machine, offer: Callable[[str, str], None]) -> None:
    build(live, "localhost/third-party/minimal-notebook:1", JUPYTER_STACK)
    entry = documented("Jupyter's own images")
    offer(
        entry.replace("quay.io/jupyter/minimal-notebook:2025-10-20", "localhost/third-party/minimal-notebook:1"),
        "stacks",
    )
    notebook = live.run("stacks", "jupyterlab")
    assert live.execute(notebook, "id", "-u") == "1000\n"
    assert live.fetch(notebook, "/api/status", token=live.token(notebook)).status == 200
    live.execute(notebook, "python3", "-c", MAKE_WHEEL)
    live.execute(notebook, "pip", "install", "--no-index", "--quiet", f"/workspace/{WHEEL}")
    live.stop(notebook)
    live.start(notebook)
    assert live.execute(notebook, "python3", "-c", "import teal; print(teal.COLOUR)") == "teal\n"
    sees_everybody_off(live, notebook)


def test_an_image_of_code_servers_own_shape(live: Machine, offer: Callable[[str, str], None]) -> None:
    offered(live, "vscode")
    build(live, "localhost/third-party/code-server:1", CODE_SERVER)
    entry = documented("code-server's own image")
    offer(entry.replace("docker.io/codercom/code-server:4.100.3", "localhost/third-party/code-server:1"), "coder")
    notebook = live.run("coder", "vscode")
    assert live.execute(notebook, "id", "-u") == "1000\n"
    page = live.fetch(notebook, "/?folder=/workspace", token=live.token(notebook))
    assert page.status == 200
    assert b"workbench" in page.body
    sees_everybody_off(live, notebook)
