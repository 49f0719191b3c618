# SPDX-License-Identifier: Apache-2.0
"""A running notebookd as the tests of this tier reach it: by its socket, its gateway, its processes and its engine.

Nothing here knows how the daemon is made inside. What needs root goes through sudo when the tests run as somebody else.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from notebookd import wire
from notebookd.client import Client, NotFound, Refused, Unreachable

CHECKOUT = Path(__file__).resolve().parents[2]
QUICKSTART = CHECKOUT / "contrib" / "quickstart"
SERVICE = CHECKOUT / "contrib" / "lib" / "service"
IMAGE = "localhost/notebookd/jupyterlab:1"
WITHOUT_SNAPSHOTS = "[snapshots]\nat_stop = false\n"
"""For a daemon of which nothing else is wanted: its stops are quick."""
TRANSIENT = frozenset({"STARTING", "RESTARTING", "STOPPING", "DELETING"})

T = TypeVar("T")


def root(*command: str, check: bool = True, timeout_s: float = 60, text: str | None = None) -> str:
    """Run a program as root; its stdout. ``check`` makes a failure an assertion with its stderr."""
    argv = command if os.geteuid() == 0 else ("sudo", "-n", "--", *command)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, input=text, check=False)
    assert not check or done.returncode == 0, f"{command}: {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout


def as_account(*command: str, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
    """Run a program as the service's account."""
    drop = ("setpriv", "--reuid", "notebookd", "--regid", "notebookd-svc", "--init-groups")
    argv = (*drop, *command) if os.geteuid() == 0 else ("sudo", "-n", "--", *drop, *command)
    return subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, cwd="/", check=False)


def eventually(look: Callable[[], T], wanted: Callable[[T], Any], *, within_s: float = 60, what: str = "it") -> T:
    """Look until it is as wanted, and return what was seen."""
    deadline = time.monotonic() + within_s
    while True:
        seen = look()
        if wanted(seen):
            return seen
        assert time.monotonic() < deadline, f"{what} is not so within {within_s:.0f} s; last seen: {seen!r}"
        time.sleep(0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the gateway answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass(slots=True, kw_only=True)
class Machine:
    """One notebookd with its gateway and engine, as its environment variables describe it."""

    environment: Mapping[str, str]
    made: list[str] = field(default_factory=list)
    disturbed: bool = False

    # Where it is

    def _path(self, name: str) -> Path:
        return Path(self.environment[f"NOTEBOOKD_{name}"])

    @property
    def socket(self) -> Path:
        return self._path("SOCKET")

    @property
    def engine(self) -> Path:
        return self._path("ENGINE")

    @property
    def state_folder(self) -> Path:
        return self._path("STATE")

    @property
    def run_folder(self) -> Path:
        return self._path("RUN")

    @property
    def config(self) -> Path:
        return self._path("CONFIG")

    @property
    def editors(self) -> Path:
        return self.socket.parent / "editors"

    @property
    def gateway(self) -> tuple[str, int]:
        host, _, port = self.environment["NOTEBOOKD_GATEWAY"].rpartition(":")
        return host, int(port)

    @property
    def client(self) -> Client:
        return Client(str(self.socket))

    def workspace(self, notebook: str) -> Path:
        return self.state_folder / "workspaces" / notebook

    def log(self, name: str = "daemon") -> str:
        return (self.run_folder / "log" / f"{name}.log").read_text(errors="replace")

    # Notebooks

    def create(
        self,
        framework: str = "conda",
        editor: str = "jupyterlab",
        *,
        env: Mapping[str, str] | None = None,
        resources: wire.Resources | None = None,
        auto_restart: bool = False,
        volumes: Sequence[str] = (),
    ) -> str:
        """Ask for a notebook; its id."""
        spec = wire.NotebookSpec(
            env=wire.NotebookEnv(editor_id=editor, framework_id=framework),
            env_vars=[wire.EnvVar(name=name, value=value) for name, value in (env or {}).items()],
            resources=wire.UNSET if resources is None else resources,
            timeout_auto_restart=auto_restart or wire.UNSET,
            volumes=list(volumes),
        )
        notebook = self.client.create_notebook(spec).value.id
        self.made.append(notebook)
        return notebook

    def run(self, framework: str = "conda", editor: str = "jupyterlab", **wish: Any) -> str:
        """Ask for a notebook and wait until it is RUNNING; its id."""
        notebook = self.create(framework, editor, **wish)
        self.await_state(notebook, "RUNNING")
        return notebook

    def get(self, notebook: str) -> wire.Notebook:
        return self.client.get_notebook(notebook).value

    def state(self, notebook: str) -> str:
        return self.get(notebook).status.state

    def find_state(self, notebook: str) -> str | None:
        """None once it is deleted."""
        try:
            return self.state(notebook)
        except Refused as refusal:
            if refusal.status == 404:
                return None
            raise

    def await_state(self, notebook: str, *states: str, within_s: float = 60) -> wire.Notebook:
        """Wait for one of the states; one that lasts, and is not that of the beginning, is a failure at once."""
        first = self.state(notebook)

        def look() -> wire.Notebook:
            seen = self.get(notebook)
            if seen.status.state not in {*states, *TRANSIENT, first}:
                self._fail(seen, states)
            return seen

        return eventually(look, lambda seen: seen.status.state in states, within_s=within_s, what=f"one of {states}")

    def _fail(self, seen: wire.Notebook, states: tuple[str, ...]) -> NoReturn:
        raise AssertionError(
            f"{seen.status.state}, not one of {states}: {seen.status.last_job_status}\n{self.log()[-3000:]}"
        )

    def stop(self, notebook: str) -> wire.Notebook:
        self.client.stop_notebook(notebook)
        return self.await_state(notebook, "STOPPED")

    def start(self, notebook: str) -> wire.Notebook:
        self.client.start_notebook(notebook)
        return self.await_state(notebook, "RUNNING")

    def token(self, notebook: str) -> str:
        return self.client.access(notebook).value.token

    def leases(self) -> dict[str, str]:
        """Leased GPUs with the notebook that holds each."""
        return {gpu.uuid: gpu.lease.notebook for gpu in self.client.list_gpus().value.items if gpu.lease is not None}

    # Inside

    def ctl(self, *arguments: str, text: str | None = None, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """notebookctl, from the path that quickstart gave."""
        program = shutil.which("notebookctl", path=self.environment["PATH"])
        assert program is not None
        return subprocess.run(
            [program, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            input=text,
            timeout=timeout_s,
            check=False,
        )

    def execute(self, notebook: str, *command: str) -> str:
        """Run a command in the notebook; its stdout."""
        done = self.ctl("exec", notebook, "--", *command)
        assert done.returncode == 0, f"{command}: {done.returncode}: {done.stdout} {done.stderr}"
        return done.stdout

    def fetch(
        self,
        notebook: str,
        path: str = "/api",
        *,
        token: str | None = None,
        cookie: str = "",
        method: str = "GET",
        body: str = "",
    ) -> Answer:
        """A request through the gateway."""
        connection = http.client.HTTPConnection(*self.gateway, timeout=20)
        headers = {"Host": f"{notebook}.localhost:{self.gateway[1]}"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if cookie:
            headers["Cookie"] = cookie
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            return Answer(status=response.status, headers=response.headers, body=response.read())
        finally:
            connection.close()

    # Underneath

    def containers(self) -> dict[str, list[str]]:
        """Ids of every container of this daemon, by notebook, whatever their state."""
        url = "http://d/v4.0.0/libpod/containers/json?all=true"
        rows = json.loads(root("curl", "--silent", "--fail", "--unix-socket", str(self.engine), url))
        found: dict[str, list[str]] = {}
        for row in rows or ():
            labels = row["Labels"] or {}
            notebook = labels.get("io.notebookd.notebook")
            if notebook in self.made and "io.notebookd.sync" not in labels:
                found.setdefault(notebook, []).append(row["Id"])
        return found

    def container(self, notebook: str) -> dict[str, Any]:
        """What the engine says of a notebook's only container."""
        (found,) = self.containers()[notebook]
        url = f"http://d/v4.0.0/libpod/containers/{found}/json"
        body: dict[str, Any] = json.loads(root("curl", "--silent", "--fail", "--unix-socket", str(self.engine), url))
        return body

    def service(self, verb: str, name: str) -> str:
        """start, stop, kill or restart the daemon, the gateway or the engine."""
        self.disturbed = True
        return root("env", f"NOTEBOOKD_RUN={self.run_folder}", str(SERVICE), verb, name, timeout_s=90)

    def kill_daemon(self) -> None:
        """SIGKILL, with as little delay as can be."""
        self.disturbed = True
        pid = (self.run_folder / "daemon.pid").read_text().split()[0]
        root("kill", "-KILL", pid)
        eventually(lambda: _lives(int(pid)), lambda lives: not lives, within_s=10)

    def clean_up(self) -> None:
        """Everything runs again, and the notebooks made so far are gone."""
        if self.disturbed:
            for name in ("engine", "daemon", "gateway"):
                self.service("start", name)
            self.disturbed = False
        for notebook in self.made:
            if self.find_state(notebook) is not None:
                with suppress(NotFound):  # gone meanwhile
                    self.client.delete_notebook(notebook, force=True)
        for notebook in self.made:
            eventually(lambda it=notebook: self.find_state(it), lambda seen: seen is None, what="deletion")  # type: ignore[misc]
        self.made.clear()

    def await_order(self, *, within_s: float = 60) -> None:
        """Nothing is on its way, and states, containers and leases agree."""
        try:
            eventually(self._disorder, lambda seen: not seen, within_s=within_s, what="order")
        except AssertionError as fault:
            raise AssertionError(f"{fault}\n{self.log()[-6000:]}") from fault

    def _disorder(self) -> list[str]:
        try:
            states = {notebook: self.find_state(notebook) for notebook in self.made}
            leased = [notebook for notebook in self.leases().values() if notebook in self.made]
        except (Unreachable, Refused) as fault:
            return [str(fault)]
        containers = self.containers()
        found = [f"{notebook} has a lease and no container" for notebook in leased if notebook not in containers]
        for notebook, state in states.items():
            wanted = 1 if state == "RUNNING" else 0
            here, held = len(containers.get(notebook, ())), leased.count(notebook)
            if state in TRANSIENT or (here, held) != (wanted, wanted):
                found.append(f"{notebook} is {state} with {here} containers and {held} leases")
        return found


@contextmanager
def quickstart(*options: str, environment: Mapping[str, str] | None = None) -> Iterator[Machine]:
    """A notebookd of its own beside the one that the tests run in; ``environment`` is on top of the tests' own."""
    with tempfile.TemporaryDirectory(prefix="notebookd-test-") as folder:
        told, said = Path(folder, "environment"), Path(folder, "stderr")
        script = 'env -0 >"$0.new" && mv "$0.new" "$0" && exec cat'
        with said.open("w") as stderr:
            process = subprocess.Popen(
                [str(QUICKSTART), *options, "--", "sh", "-c", script, str(told)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env={**os.environ, **(environment or {})},
            )
        try:
            eventually(
                lambda: (told.exists(), process.poll()), lambda seen: seen != (False, None), within_s=90, what="it up"
            )
            assert told.exists(), said.read_text()
            pairs = (entry.partition("=") for entry in told.read_text().split("\0") if entry)
            yield Machine(environment={name: value for name, _, value in pairs})
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)


@contextmanager
def open_folder(*, size: str | None = None) -> Iterator[Path]:
    """A folder that every account can reach; with a size, a small disk of its own."""
    folder = Path(tempfile.mkdtemp(prefix="notebookd-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    if size is not None:
        root("mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        if size is not None:
            root("umount", "-l", str(folder))
        root("rm", "-rf", str(folder))


def odd_configuration(*, start_timeout: str = "6s", **lifecycle: str | list[str]) -> str:
    """A catalogue of misbehaving editors, and little patience with them; what else ``[lifecycle]`` says."""
    toy = json.dumps((Path(__file__).parent / "toy_editor.py").read_text())
    patience = {"start_timeout": start_timeout, "stop_grace": "2s", **lifecycle}
    lines = [WITHOUT_SNAPSHOTS, "[lifecycle]", *(f"{name} = {json.dumps(value)}" for name, value in patience.items())]
    lines += ["[gateway]", "api = true"]
    commands = {
        "toy": f'["python3", "-c", {toy}]',
        "exit3": '["sh", "-c", "echo leaving; exit 3"]',
        "nocommand": '["/no/such/program"]',
        "noimage": '["true"]',
    }
    for framework, command in commands.items():
        image = "localhost/notebookd/absent:1" if framework == "noimage" else IMAGE
        lines += [
            "[[image]]",
            'editor = "odd"',
            f'framework = "{framework}"',
            'version = "1"',
            f'image = "{image}"',
            f"command = {command}",
        ]
    return "\n".join(lines) + "\n"


def random_moments(count: int, longest_s: float, seed: int) -> list[float]:
    """Moments to strike at, the same for the same seed."""
    dice = random.Random(seed)
    return [dice.uniform(0, longest_s) for _ in range(count)]


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat[stat.rindex(")") + 2] not in "XZ"
