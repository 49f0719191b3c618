# SPDX-License-Identifier: Apache-2.0
"""A volume in a folder of the test, a remote that rclone really talks to, and the mover's program between them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote
from xml.etree import ElementTree as ET

from notebookd.mover.job import Places
from notebookd.mover.report import Reporter, secrets_in
from notebookd.mover.tasks import run_job

PROGRAM = Path(__file__).parents[2] / "notebookd" / "mover" / "__main__.py"
NOTEBOOK = "0f1e2d3c-0000"
MARK = "conflict-0f1e2d3c-"
CLEAN = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "TZ": "UTC"}


class Behind(Protocol):
    """What is at a remote, without rclone."""

    def make(self, container: str) -> None: ...

    def write(self, path: str, content: bytes) -> None: ...

    def remove(self, path: str) -> None: ...

    def read(self, path: str) -> dict[str, bytes]: ...


@dataclass(frozen=True)
class Folder:
    """The folder that a server serves."""

    root: Path

    def make(self, container: str) -> None:
        (self.root / container).mkdir()

    def write(self, path: str, content: bytes) -> None:
        place(self.root, path, content)

    def remove(self, path: str) -> None:
        (self.root / path).unlink()

    def read(self, path: str) -> dict[str, bytes]:
        return files_of(self.root / path)


SIGNED = "AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


@dataclass(frozen=True)
class Bucket:
    """S3 with a made-up signature: moto does not look at it."""

    port: int

    def make(self, container: str) -> None:
        self._ask("PUT", f"/{container}")

    def write(self, path: str, content: bytes) -> None:
        self._ask("PUT", "/" + quote(path), content)

    def remove(self, path: str) -> None:
        self._ask("DELETE", "/" + quote(path))

    def read(self, path: str) -> dict[str, bytes]:
        container, _, prefix = path.partition("/")
        prefix = f"{prefix}/" if prefix else ""
        listed = self._ask("GET", f"/{container}?list-type=2&encoding-type=url&max-keys=100000&prefix={quote(prefix)}")
        keys = [unquote(each.text or "") for each in ET.fromstring(listed).iterfind("{*}Contents/{*}Key")]
        return {key.removeprefix(prefix): self._ask("GET", "/" + quote(f"{container}/{key}")) for key in keys}

    def _ask(self, method: str, target: str, body: bytes | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, target, body, {"Authorization": SIGNED})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        assert answer.status < 300, content
        return content


@dataclass
class Lab:
    """A volume and the place it came from. ``remote`` is a section of the configuration, ``path`` a place there."""

    folder: Path
    config: str
    remote: str
    path: str
    behind: Behind
    names: str = "volume"
    fields: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("job", "secrets", "scratch", self.names):
            (self.folder / name).mkdir(exist_ok=True)
        (self.folder / "secrets" / "rclone.conf").write_text(self.config)

    @property
    def volume(self) -> Path:
        return self.folder / self.names

    @property
    def data(self) -> Path:
        return self.volume / "data"

    @property
    def places(self) -> Places:
        job, secrets, scratch = (self.folder / name for name in ("job", "secrets", "scratch"))
        return Places(job=job, volume=self.volume, secrets=secrets, scratch=scratch)

    def another(self) -> Lab:
        """The same source, in the volume of another notebook."""
        return replace(self, names="another")

    def write_job(self, task: str, fields: Mapping[str, Any]) -> None:
        (self.folder / "job" / "result.json").unlink(missing_ok=True)
        said = {"task": task, "remote": self.remote, "path": self.path, **self.fields, **fields}
        (self.folder / "job" / "job.json").write_text(json.dumps(said))

    def run(self, task: str, **fields: Any) -> dict[str, Any]:
        """Run a task in this process; what ``result.json`` says."""
        self.write_job(task, fields)
        status = run_job(self.places, Reporter(self.places.job, secrets_in(self.places.secrets)))
        said = self.result()
        assert status == (0 if said["ok"] else 1)
        return said

    def result(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads((self.folder / "job" / "result.json").read_text())
        return said

    def pull(self, **fields: Any) -> dict[str, Any]:
        return self.run("pull", **fields)

    def push(self, permission: str = "RW", **fields: Any) -> dict[str, Any]:
        return self.run("push", permission=permission, notebook=NOTEBOOK, **fields)

    def start(self, task: str, **fields: Any) -> subprocess.Popen[bytes]:
        """Run a task as the container does, in a session of its own; end it with :func:`kill_session`."""
        self.write_job(task, fields)
        places = [f"{name}={getattr(self.places, name)}" for name in ("job", "volume", "secrets", "scratch")]
        command = [sys.executable, "-I", str(PROGRAM), *places]
        return subprocess.Popen(command, env=CLEAN, start_new_session=True, stderr=subprocess.PIPE)

    def put(self, files: Mapping[str, str | bytes]) -> None:
        """Have others write files at the remote."""
        for name, content in files.items():
            self.behind.write(f"{self.path}/{name}", content.encode() if isinstance(content, str) else content)

    def take_away(self, *names: str) -> None:
        for name in names:
            self.behind.remove(f"{self.path}/{name}")

    def remote_files(self) -> dict[str, bytes]:
        """What is at the remote, by name."""
        return self.behind.read(self.path)

    def local_files(self) -> dict[str, bytes]:
        return files_of(self.data)

    def edit(self, name: str, content: str | bytes) -> None:
        place(self.data, name, content)


def place(folder: Path, name: str, content: str | bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def files_of(folder: Path) -> dict[str, bytes]:
    """Regular files below a folder."""
    found: dict[str, bytes] = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root) / name
            if path.is_file() and not path.is_symlink():
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def kill_session(child: subprocess.Popen[bytes]) -> None:
    """SIGKILL a program and everything that it started, as the end of a container does."""
    child.kill()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ProcessLookupError):
                if os.getsid(int(entry.name)) == child.pid and int(entry.name) != child.pid:
                    os.kill(int(entry.name), signal.SIGKILL)
    child.communicate()
