# SPDX-License-Identifier: Apache-2.0
"""Podman by hand, beside the daemon: the same engine storage, image, account and options, no notebookd.

A shell that stays open inside the engine's namespace takes the commands, so that what is measured is ``podman run``
as a person would type it there, and not the way into the namespace.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import socket
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from tests.bench.daemon import PATIENCE_S, POLL_S, service_pid
from tests.bench.programs import IMAGES, JUPYTERLAB, LOCK, STOCK_RECIPE, Program

ACCOUNT = "notebookd"
UID = 42420
ENTER = """
echo $$ >"/sys/fs/cgroup/notebookd-quickstart/$1/engine/cgroup.procs"
cd /
exec setpriv --reuid notebookd --regid notebookd-svc --init-groups env -i HOME="$2/home" USER=notebookd \\
    LOGNAME=notebookd LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin XDG_RUNTIME_DIR="$3" TMPDIR="$2/tmp" bash
"""
DONE = "-- done --"


@dataclass(frozen=True, slots=True, kw_only=True)
class BareEditor:
    """Folders of one bare container, made before the clock runs."""

    name: str
    folder: Path
    program: Program

    @property
    def socket(self) -> Path:
        return self.folder / "e" / "editor.sock"


class Bare:
    """The open shell. Use it as a context."""

    def __init__(self, options: tuple[str, ...]) -> None:
        self._run = Path(os.environ["NOTEBOOKD_RUN"])
        self._folders = self._run / "engine" / "tmp" / "bench"
        self._options = options

    def __enter__(self) -> Self:
        account = pwd.getpwnam(ACCOUNT)
        self._folders.mkdir(mode=0o700, exist_ok=True)
        os.chown(self._folders, account.pw_uid, account.pw_gid)
        command = ["nsenter", "--target", str(service_pid("engine")), "--mount", "bash", "-c", ENTER, "bash"]
        command += [self._run.name, str(self._run / "engine"), str(self._run / "e")]
        self._shell = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.type("podman info >/dev/null")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.close()
        self._shell.stdout.close()
        self._shell.wait(10)
        shutil.rmtree(self._folders, ignore_errors=True)

    def send(self, command: str) -> None:
        """Type a line and go on at once."""
        _pipe(self._shell.stdin).write(command + "\n")

    def type(self, command: str) -> None:
        """Type a line and wait for its end."""
        self.send(f"{command}; echo '{DONE}'")
        output = _pipe(self._shell.stdout)
        while (line := output.readline().strip()) != DONE:
            if not line:
                raise RuntimeError(f"the shell in the engine's namespace ended at: {command}")

    def build_stock(self) -> None:
        """Make the image ``programs.STOCK`` runs, as quickstart makes ours, in this engine's storage."""
        print("building the stock image ...", file=sys.stderr)
        recipes, build_log = self._folders / "recipes", self._folders / "build.log"
        shutil.copytree(STOCK_RECIPE, recipes / "stock")  # the account may not be able to enter the checkout
        shutil.copy(LOCK, recipes / "stock")
        shutil.copy(IMAGES / "build", recipes)
        subprocess.run(["chmod", "-R", "a+rX", recipes], check=True)
        settings = [f"{name}={value}" for name, value in os.environ.items() if _is_for_builds(name)]
        line = shlex.join(["env", *settings, str(recipes / "build"), "stock"])
        self.type(f"{line} >{build_log} 2>&1 || {{ tail {build_log} >&2; exit; }}")

    def prepare(self, program: Program) -> BareEditor:
        """New folders, as notebookd makes them for a notebook."""
        account = pwd.getpwnam(ACCOUNT)
        folder = self._folders / uuid.uuid4().hex[:8]
        editor = BareEditor(name=f"bare-{uuid.uuid4()}", folder=folder, program=program)
        for folder in (editor.folder, editor.folder / "w", editor.folder / "e"):
            folder.mkdir(mode=0o700)
            os.chown(folder, account.pw_uid, account.pw_gid)
        return editor

    def run_line(self, editor: BareEditor) -> str:
        """The ``podman run`` that makes what notebookd makes."""
        words = ["podman", "run", "--detach", "--name", editor.name, *self._options, *self._mounts(editor)]
        program, *arguments = editor.program.command
        return shlex.join([*words, "--entrypoint", program, editor.program.image, *arguments]) + " >/dev/null"

    def true_line(self) -> str:
        """The least container there is, with the same options."""
        return shlex.join(["podman", "run", "--rm", *self._options, "--entrypoint", "true", JUPYTERLAB.image])

    def remove(self, *editors: BareEditor) -> None:
        self.type(
            shlex.join(["podman", "rm", "--force", "--time", "0", *(each.name for each in editors)]) + " >/dev/null"
        )

    def _mounts(self, editor: BareEditor) -> list[str]:
        places = ((editor.folder / "w", "/workspace"), (editor.folder / "e", "/run/editor"))
        return [f"--volume={source}:{target}:rw,rbind,rprivate,nosuid,nodev" for source, target in places]


def options_of(shm_bytes: int, *, network: str = "slirp4netns:allow_host_loopback=false") -> tuple[str, ...]:
    """notebookd's hardening (``notebookd/adapters/podman/spec.py``) as ``podman run`` spells it."""
    return (
        f"--user={UID}:{UID}",
        f"--userns=keep-id:uid={UID},gid={UID}",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--ipc=private",
        f"--network={network}",
        "--env=HOME=/workspace",
        "--workdir=/workspace",
        "--hostname=bare",
        f"--shm-size={shm_bytes}",
        "--log-driver=k8s-file",
        "--log-opt=max-size=10m",
        "--restart=no",
        "--stop-signal=15",
        "--systemd=false",
        "--no-healthcheck",
        "--image-volume=ignore",
        "--http-proxy=false",
    )


def await_editor(editor: BareEditor) -> None:
    """Poll until its program's probe gives 200."""
    deadline = time.monotonic() + PATIENCE_S
    while not _answers(editor.socket, editor.program.probe):
        if time.monotonic() > deadline:
            raise RuntimeError(f"no editor answers in {editor.folder}")
        time.sleep(POLL_S)


def _is_for_builds(name: str) -> bool:
    """Whether contrib/images/build may want this of its caller's environment."""
    return name.startswith("PIP_") or name == "SSL_CERT_FILE" or name.lower().endswith("_proxy")


def _answers(path: Path, probe: str) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(path))
            connection.sendall(f"GET {probe} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            return connection.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream
