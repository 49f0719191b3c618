# SPDX-License-Identifier: Apache-2.0
"""A booted machine with notebookd installed, as its admin and its people reach it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.machine.machine import CACHE, Machine, locked

CHECKOUT = Path(__file__).resolve().parents[2]
RECIPE = CHECKOUT / "contrib" / "images" / "jupyterlab"
IMAGE = "localhost/notebookd/jupyterlab:1"
ENGINE = "/run/notebookd-engine/engine.sock"
PORT = 8421
PEOPLE = ("alice", "bob")
OUTSIDER = "mallory"
ADMIN = "olga"

T = TypeVar("T")


def build_package(folder: Path, *version: str, source: Path = CHECKOUT) -> Path:
    """The package of this checkout or of another source, of its own version or of another."""
    command = [str(source / "packaging" / "build"), "--output", str(folder)]
    more = ["--version", *version] if version else []
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return Path(done.stdout.strip())


def image_archive() -> Path:
    """JupyterLab's image as a file; made the first time by the engine of quickstart, and kept."""
    recipe = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(RECIPE.iterdir()))).hexdigest()[:8]
    archive = CACHE / f"jupyterlab-{recipe}.tar"
    CACHE.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / "image.lock"):
        if not archive.exists():
            half = archive.with_suffix(".half")
            half.unlink(missing_ok=True)
            save = f'podman --url "unix://$NOTEBOOKD_ENGINE" save --output {half} {IMAGE}'
            quickstart = str(CHECKOUT / "contrib" / "quickstart")
            subprocess.run([quickstart, "--engine-only", "--", "sh", "-c", save], check=True, timeout=600)
            half.rename(archive)
            for old in set(CACHE.glob("jupyterlab-*.tar")) - {archive}:
                old.unlink()
    return archive


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What tells one container, and one start of it, from another."""

    id: str
    pid: int
    began: str
    """Its process's start time: a restart in place keeps id and name."""


@dataclass(slots=True, kw_only=True)
class Terminal:
    """One websocket into a notebook, held open from test step to test step."""

    process: subprocess.Popen[str]

    def say(self, line: str) -> str:
        """What came of saying something to its shell: ``heard LINE`` or ``lost``."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@dataclass(slots=True, kw_only=True)
class Workstation:
    """The machine, and what its people and its admin do on it."""

    machine: Machine
    package: Path

    # The admin

    def root(self, *argv: str, check: bool = True, timeout_s: float = 60) -> str:
        """Run a program as root; its output."""
        return self.machine.run(*argv, check=check, timeout_s=timeout_s).stdout

    def install(self, package: Path) -> str:
        """``apt install ./FILE``."""
        return self.root("apt-get", "install", "--yes", self.machine.put(package), timeout_s=180)

    def show(self, unit: str, name: str, *options: str) -> str:
        """A property of a unit."""
        return self.root("systemctl", *options, "show", unit, f"--property={name}", "--value").strip()

    def main_pid(self, unit: str) -> int:
        """The pid of a service's process, 0 when there is none."""
        return int(self.show(unit, "MainPID"))

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """Entries of the journal."""
        return [json.loads(line) for line in self.root("journalctl", "--output=json", *matches).splitlines()]

    def engine(self, path: str) -> Any:
        """What the engine answers to a GET."""
        return json.loads(self.root("curl", "--silent", "--unix-socket", ENGINE, f"http://d/v4.0.0/libpod{path}"))

    def container(self, notebook: str) -> Container | None:
        """The notebook's container, None when there is none that runs."""
        for one in self.engine("/containers/json"):
            if one["Labels"].get("io.notebookd.notebook") == notebook:
                stat = self.root("cat", f"/proc/{one['Pid']}/stat")
                return Container(id=one["Id"], pid=one["Pid"], began=stat.rsplit(")", 1)[1].split()[19])
        return None

    # People

    def attempt(self, user: str, *words: str, timeout_s: float = 90) -> subprocess.CompletedProcess[str]:
        """``notebookctl`` as a user, however it ends."""
        return self.machine.run("notebookctl", *words, user=user, check=False, timeout_s=timeout_s)

    def ctl(self, user: str, *words: str) -> str:
        """What ``notebookctl`` prints for a user; it has to succeed."""
        return self.machine.run("notebookctl", *words, user=user, timeout_s=90).stdout.strip()

    def run_notebook(self, user: str, name: str) -> str:
        """Start a notebook and wait until it runs; its id."""
        self.ctl(user, "run", "conda", "jupyterlab", "--cpu", "1", "--name", name, "--wait")
        return str(self.notebook(user, name)["id"])

    def notebook(self, user: str, name: str) -> dict[str, Any]:
        """A notebook as the API gives it to its owner."""
        return dict(json.loads(self.ctl(user, "get", name, "--output", "json")))

    def state(self, user: str, name: str) -> str:
        """Its state."""
        return str(self.notebook(user, name)["status"]["state"])

    def token(self, user: str, name: str) -> str:
        """Its token."""
        return self.ctl(user, "url", name).partition("token=")[2]

    def fetch(self, user: str, url: str, *options: str) -> tuple[int, str]:
        """Status and body of a GET with curl, cookies and redirects as in a browser."""
        jar = f"/tmp/jar-{user}"
        command = (
            "curl",
            "--silent",
            "--location",
            "--cookie",
            jar,
            "--cookie-jar",
            jar,
            "--write-out",
            "\n%{http_code}",
        )
        body, _, status = self.machine.run(*command, *options, url, user=user, check=False).stdout.rpartition("\n")
        return int(status), body

    @contextmanager
    def terminal(self, user: str, name: str) -> Iterator[Terminal]:
        """A terminal of a notebook, on one websocket."""
        script = self.machine.put(Path(__file__).with_name("terminal.py"))
        words = (script, str(PORT), str(self.notebook(user, name)["id"]), self.token(user, name))
        process = self.machine.popen("/usr/lib/notebookd/bin/python3", "-I", *words, user=user)
        try:
            assert process.stdout is not None
            opened = process.stdout.readline().strip()
            assert opened == "open", opened + process.stdout.read()
            yield Terminal(process=process)
        finally:
            process.kill()
            process.communicate()


def eventually(look: Callable[[], T], wanted: Callable[[T], Any], *, within_s: float = 60, what: str = "it") -> T:
    """Look until it is as wanted, and return what was seen."""
    deadline = time.monotonic() + within_s
    while True:
        seen = look()
        if wanted(seen):
            return seen
        assert time.monotonic() < deadline, f"{what} is not so within {within_s:.0f} s; last seen: {seen!r}"
        time.sleep(0.2)
