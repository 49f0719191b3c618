# SPDX-License-Identifier: Apache-2.0
"""Every command of the README, in the order in which it stands there, on a real daemon: typed on a terminal, and run
where there is none."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from notebookd import wire
from tests.documented import Typed, typed
from tests.engine.live import Machine, eventually, quickstart, root
from tests.engine.places import Places, places

pytestmark = pytest.mark.engine

ELSEWHERE = {
    "contrib/quickstart": "is what the tests of this tier run in",
    "contrib/quickstart --gpus 4 -- notebookctl run conda jupyterlab --wait": "tests/engine/test_live_quickstart.py",
    "tests/run": "is what runs the tests",
    "git remote set-branches origin '*' && git fetch --tags --depth=2147483647": "tests/mover/test_git.py, in a volume",
    "import httpx, ovhai": "tests/api/test_sdk.py",
    'client = ovhai.Client(base_url="http://localhost",': "tests/api/test_sdk.py",
    "export NOTEBOOKD_TOKEN=nbd_…": "tests/engine/test_live_tokens.py",
}
"""What is not typed here, and what tries it. The script of the README is tried by tests/api/test_readme.py,
``make deb`` and the package by tests/system."""

ROOTS = {"sudo notebookctl doctor", "sudo notebookctl bugreport"}
"""What root types; where the tests run as somebody else, sudo is asked."""

LEFT = {
    "notebookctl top": "q",
    "notebookctl exec mine -it -- bash": "exit\n",
}
"""What ends by a key on a terminal. Where there is none it ends by itself."""

FOLLOWS = {"notebookctl logs -f mine", "notebookctl events -f"}
"""What goes on until it is left by Ctrl-C, which is 130, as of every program."""

SETTLED = frozenset({"RUNNING", "STOPPED"})
STAND_IN = """
[billing.rates]
"gpu" = "2.80"
[[image]]
editor = "vscode"
framework = "pytorch"
version = "as-it-were"
image = "localhost/notebookd/vscode:1"
uid = 42420
probe = "/healthz"
activity = "code-server"
command = ["code-server", "/workspace"]
"""
"""The image of PyTorch has no room in a test: what the README chooses stands for VS Code alone here."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    status: int
    said: str


@dataclass(kw_only=True)
class Reader:
    """Somebody who reads the README and types what is there, in a folder of their own."""

    machine: Machine
    folder: Path
    git_url: str
    on_terminal: bool
    log: list[str] = field(default_factory=list)

    def types(self, line: Typed) -> None:
        """All commands of a line; each has to end well."""
        for command in line.commands:
            self._settle()
            ended = self._run(command)
            self.log.append(f"{command}: {ended.status}")
            print(self.log[-1])
            wanted = {0, 130} if command in FOLLOWS else {0}
            assert ended.status in wanted, f"{command}: {ended.status}: {ended.said[-3000:]}"
            assert "Traceback" not in ended.said

    def _run(self, command: str) -> Ended:
        argv = shlex.split(self._here(command))
        if command in ROOTS and os.geteuid() == 0:
            argv = argv[1:]
        run = self._on_terminal if self.on_terminal else self._piped
        return run(argv, keys=LEFT.get(command, ""), follows=command in FOLLOWS)

    def _here(self, command: str) -> str:
        """The same with what is elsewhere on this machine."""
        return command.replace("https://example.org/me/code.git", self.git_url).replace(
            "/run/notebookd/api.sock", str(self.machine.socket)
        )

    def _settle(self) -> None:
        """Who reads takes their time: nothing is on its way any more when they type the next command."""
        eventually(
            lambda: [each for each in self.machine.client.each_notebook() if each.status.state not in SETTLED],
            lambda unsettled: not unsettled,
            within_s=120,
            what="rest",
        )

    def _piped(self, argv: list[str], *, keys: str, follows: bool) -> Ended:
        with subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=self.machine.environment,
            start_new_session=True,
        ) as program:
            assert program.stdout is not None
            if follows:
                first = program.stdout.readline()
                program.send_signal(signal.SIGINT)
                rest, _ = program.communicate(timeout=60)
                return Ended(program.returncode, (first + rest).decode(errors="replace"))
            try:
                said, _ = program.communicate(keys.encode(), timeout=120)
            except subprocess.TimeoutExpired:
                program.kill()
                raise
            return Ended(program.returncode, said.decode(errors="replace"))

    def _on_terminal(self, argv: list[str], *, keys: str, follows: bool) -> Ended:
        child, terminal = pty.fork()
        if child == 0:  # a program of its own: what goes wrong here ends it with a status that nothing else has
            with contextlib.suppress(BaseException):
                os.chdir(self.folder)
                os.execvpe(argv[0], argv, {**self.machine.environment, "TERM": "xterm-256color"})
            os._exit(127)
        said, deadline = b"", time.monotonic() + 120
        answer = "\x03" if follows else keys
        try:
            while True:
                assert time.monotonic() < deadline, f"{argv} does not end: {said[-2000:]!r}"
                if not select.select([terminal], [], [], 1.0)[0]:
                    if answer and said:  # it has said what it has to say, and waits
                        os.write(terminal, answer.encode())
                    continue
                try:
                    data = os.read(terminal, 65536)
                except OSError:  # EIO: it ended
                    data = b""
                if not data:
                    break
                said += data
                if answer == "q" and b"q quit" in data:
                    os.write(terminal, b"q")
            _, status = os.waitpid(child, 0)
            return Ended(os.waitstatus_to_exitcode(status), said.decode(errors="replace"))
        except BaseException:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
        finally:
            os.close(terminal)


@pytest.fixture(scope="module")
def sources(outer: Machine) -> Iterator[Places]:
    with places() as served:
        served.bucket.make("results")
        root("mkdir", "-p", str(served.shared / "sets" / "images"))
        yield served


@pytest.fixture(scope="module")
def machine(sources: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    config = tmp_path_factory.mktemp("readme") / "notebookd.toml"
    config.write_text(sources.settings.replace('"DIR"', '"DATA"') + STAND_IN)
    with quickstart("--gpus", "8", "--image", "vscode", "--config", str(config)) as made:
        yield made


@pytest.fixture
def fresh(machine: Machine) -> Iterator[Machine]:
    """Nothing is there, and nothing is left."""
    yield machine
    client = machine.client
    for gpu in client.list_gpus().value.items:
        if gpu.drained:
            client.undrain_gpu(gpu.uuid)
    for token in client.list_tokens().value.items:
        client.delete_token(token.id)
    machine.made.extend(each.id for each in client.each_notebook())
    machine.clean_up()


def mine(machine: Machine, *, volumes: tuple[str, ...] = ()) -> None:
    """The notebook that the pages call ``mine``, ready."""
    if any(each.spec.name == "mine" for each in machine.client.each_notebook()):
        return
    spec = wire.NotebookSpec(
        env=wire.NotebookEnv(editor_id="jupyterlab", framework_id="conda"), name="mine", volumes=list(volumes)
    )
    machine.await_state(machine.client.create_notebook(spec).value.id, "RUNNING", within_s=120)


def set_the_scene(reader: Reader, line: Typed) -> None:
    """What the reader of a section has by then, and the page does not say how."""
    if line.section in {"How long a notebook runs", "Data", "Accounting"}:
        mine(reader.machine, volumes=("sets@DATA/images:/data",) if line.section == "Data" else ())
    if line.line.startswith("notebookctl push-data mine"):
        reader.machine.client.delete_notebook(named(reader, "mine"), force=True)
        eventually(lambda: named(reader, "mine"), lambda found: not found, what="deletion")
        mine(reader.machine, volumes=("results@S3:/data:rw",))
    if line.line.startswith("notebookctl cp results.csv"):
        (reader.folder / "results.csv").write_text("a,b\n")
        reader.machine.execute(named(reader, "mine"), "mkdir", "-p", "out", "checkpoints")
    if line.line.startswith("notebookctl snapshot list"):
        reader.machine.stop(named(reader, "mine"))


def named(reader: Reader, name: str) -> str:
    """The id of the notebook with a name; empty where there is none."""
    return next((each.id for each in reader.machine.client.each_notebook() if each.spec.name == name), "")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", ["on a terminal", "piped"])
def test_every_command_of_the_readme_ends_well(fresh: Machine, sources: Places, tmp_path: Path, way: str) -> None:
    reader = Reader(machine=fresh, folder=tmp_path, git_url=sources.git_url, on_terminal=way == "on a terminal")
    lines = [line for line in typed("README.md") if line.line not in ELSEWHERE]
    for line in lines:
        set_the_scene(reader, line)
        reader.types(line)
    assert (tmp_path / "out" / "results.csv").read_text() == "a,b\n"
    assert len(reader.log) > 45


def test_what_is_not_typed_here_stands_there_and_is_no_verb() -> None:
    lines = {line.line for line in typed("README.md")}
    assert set(ELSEWHERE) <= lines
    assert lines >= ROOTS
    assert not [line for line in ELSEWHERE if re.match(r"(sudo )?notebookctl ", line)]
    commands = {command for line in typed("README.md") for command in line.commands}
    assert set(LEFT) | FOLLOWS <= commands
