# SPDX-License-Identifier: Apache-2.0
"""notebookctl top as a program on a pseudo-terminal: how it is left, and what it lives through."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cli import worlds
from tests.cli.toy_server import toy_server
from tests.cli.worlds import B, C, notebook, page

PATIENCE_S = 20
ENTERED, LEFT, CURSOR_BACK = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


@dataclass
class Screen:
    """The far end of a pseudo-terminal: what was written to it, and keys for it."""

    program: subprocess.Popen
    far: int
    near: int
    written: str = ""
    marked: int = 0
    before: list = field(default_factory=list)

    def until(self, pattern):
        """Wait until it was written after what was waited for last."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := re.compile(pattern, re.DOTALL).search(self.written, self.marked)):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} did not come: {self.written[self.marked :][-3000:]!r}"
            assert self.read(left), f"{pattern!r} did not come, and the program ended: {self.written!r}"
        self.marked = found.end()

    def read(self, seconds):
        ready, _, _ = select.select([self.far], [], [], seconds)
        data = b""
        if ready:
            with contextlib.suppress(OSError):  # EIO: nobody has the near end open any more
                data = os.read(self.far, 65536)
            self.written += data.decode(errors="replace")
        return bool(data) or not ready

    def press(self, keys):
        os.write(self.far, keys)

    def resize(self, width, height):
        fcntl.ioctl(self.near, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def ended(self):
        """Its exit status, once everything that it wrote was read."""
        status = self.program.wait(PATIENCE_S)
        while select.select([self.far], [], [], 0)[0] and self.read(0):
            pass
        return status

    def is_as_before(self):
        """Whether the terminal is as the program found it: the screen, the cursor, and how keys are read."""
        last = {each[:-1]: each for each in re.findall(r"\x1b\[\?(?:1049|25)[hl]", self.written)}
        return set(last.values()) == {LEFT, CURSOR_BACK} and termios.tcgetattr(self.near) == self.before


@contextlib.contextmanager
def top(path, *args, width=120, height=30, env=None):
    """The program on a terminal of that size, in a session of its own as under a shell."""
    far, near = pty.openpty()
    code = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\nfrom notebookd.cli.main import main; main()"
    fcntl.ioctl(near, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    before = termios.tcgetattr(near)
    clean = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    program = subprocess.Popen(
        [sys.executable, "-c", code, "top", "--interval", "0.1", *args],
        stdin=near,
        stdout=near,
        stderr=near,
        start_new_session=True,
        env={**clean, "TERM": "xterm-256color", "NOTEBOOKD_SOCKET": path, **(env or {})},
    )
    screen = Screen(program=program, far=far, near=near, before=before)
    try:
        yield screen
    finally:
        program.kill()
        program.wait()
        os.close(far)
        os.close(near)


def furnish(toy):
    toy.on("GET /v1/gpu", worlds.STATION)
    toy.on("GET /v1/queue", worlds.WAITING)
    toy.on("GET /v1/notebook", page(notebook(), notebook(B, "brave"), notebook(C, "gentle", user="carol")))
    toy.on("GET /v1/load", worlds.LOADS)
    toy.on("GET /v1/health", worlds.HEALTH)


@pytest.fixture
def station(toy):
    furnish(toy)
    return toy


@pytest.mark.parametrize("key", [b"q", b"Q", b"\x1b", b"\x04"])
def test_a_key_leaves_and_the_terminal_is_as_before(station, key):
    with top(station.path) as screen:
        screen.until("gentle")
        assert ENTERED in screen.written
        assert LEFT not in screen.written
        screen.press(key)
        assert screen.ended() == 0
        assert screen.is_as_before()
        assert screen.written.rindex(LEFT) > screen.written.rindex("gentle")


def test_ctrl_c_leaves_as_it_leaves_every_verb(station):
    with top(station.path) as screen:
        screen.until("gentle")
        screen.press(b"\x03")
        assert screen.ended() == 130
        assert screen.is_as_before()
        assert "Traceback" not in screen.written


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_being_ended_leaves_the_terminal_clean(station, number):
    with top(station.path) as screen:
        screen.until("gentle")
        screen.program.send_signal(number)
        assert screen.ended() == 128 + number
        assert screen.is_as_before()


def test_an_arrow_is_no_esc(station):
    with top(station.path) as screen:
        screen.until("gentle")
        screen.press(b"\x1b[A")
        screen.until("gentle")
        screen.until("gentle")
        assert screen.program.poll() is None


def test_suspended_the_screen_is_the_shell_s(station):
    with top(station.path) as screen:
        screen.until("gentle")
        screen.program.send_signal(signal.SIGTSTP)
        screen.until(re.escape(LEFT))
        _, status = os.waitpid(screen.program.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert screen.is_as_before()
        screen.program.send_signal(signal.SIGCONT)
        screen.until(re.escape(ENTERED) + ".*gentle")
        screen.press(b"q")
        assert screen.ended() == 0
        assert screen.is_as_before()


def test_a_new_size_is_drawn_at_once(station):
    with top(station.path, "--interval", "600", width=120) as screen:
        screen.until("UTILISATION.*FREE AT.*q quit")
        screen.resize(80, 24)
        screen.until("USE .*POWER  HOLDER.*q quit")
        screen.resize(140, 40)
        screen.until("UTILISATION.*FREE AT")


def test_a_daemon_that_goes_and_comes_back_is_lived_through(tmp_path):
    with toy_server(tmp_path) as toy:
        furnish(toy)
        path = toy.path
        with top(path) as screen:
            screen.until("gentle")
            away = Path(path).rename(f"{path}.away")
            screen.until("cannot reach notebookd at .*; trying again.*below is what was seen.*gentle")
            away.rename(path)
            screen.until(r"● ok.*gentle")
            screen.press(b"q")
            assert screen.ended() == 0


def test_a_daemon_that_is_not_there_yet_is_waited_for(tmp_path):
    path = str(tmp_path / "api.sock")
    with top(path) as screen:
        screen.until("cannot reach notebookd")
        with toy_server(tmp_path) as toy:
            furnish(toy)
            screen.until("gentle")
            screen.press(b"q")
            assert screen.ended() == 0


def test_a_daemon_that_hangs_holds_up_no_key(tmp_path):
    path = str(tmp_path / "api.sock")
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(path)
        mute.listen(16)
        with top(path) as screen:
            screen.until("asking notebookd")
            screen.press(b"q")
            assert screen.ended() == 0
            assert screen.is_as_before()


def test_no_color_is_honoured(station):
    with top(station.path, env={"NO_COLOR": "1"}) as screen:
        screen.until("97%.*q quit")
        assert not re.search(r"\x1b\[[0-9;]*3[0-9][;m]", screen.written)
    with top(station.path) as screen:
        screen.until("97%.*q quit")
        assert re.search(r"\x1b\[[0-9;]*3[0-9][;m]", screen.written)


@pytest.mark.parametrize(("args", "env"), [(("--once",), {}), ((), {"TERM": "dumb"})])
def test_shown_once_on_a_terminal_it_takes_no_screen(station, args, env):
    with top(station.path, *args, env=env) as screen:
        screen.until("gentle")
        assert screen.ended() == 0
        assert ENTERED not in screen.written
