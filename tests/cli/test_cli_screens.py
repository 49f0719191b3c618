# SPDX-License-Identifier: Apache-2.0
"""What people see: each screen on a real terminal of three widths, with colour and without, as files to look at.

``NOTEBOOKD_GOLDEN=write .venv/bin/python -m pytest tests/cli/test_cli_screens.py`` writes them anew, into
``golden/screens``. Look at each that changed: ``cat`` shows those with colour as they are.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from rich.cells import cell_len

from tests.cli import workshop
from tests.cli.worlds import A, B

SCREENS = {
    "list": ("list", "--all"),
    "get": ("get", A),
    "why": ("why", B),
    "queue": ("queue",),
    "events": ("events",),
    "usage": ("usage", "--group-by", "user"),
    "usage-days": ("usage", "--by", "user,day"),
    "top": ("top", "--once"),
}
WIDTHS = (80, 120, 200)
# The program as it is, but for the time.
PROGRAM = """
import sys
from notebookd import wire
from notebookd.cli.guard import guarded
from notebookd.cli.main import cli
from notebookd.cli.terminal import Terminal

class Evening(Terminal):
    def now(self):
        return wire.parse_rfc3339("2026-11-22T20:00:00Z")

with guarded("notebookctl"):
    cli.main(args=sys.argv[1:], prog_name="notebookctl", obj=Evening())
"""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def shown(path, args, width, *, colour):
    """What the program writes on a terminal of that width."""
    far, near = pty.openpty()
    fcntl.ioctl(near, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    plain = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    env = {**plain, "TERM": "xterm-256color", "TZ": "UTC", "LC_ALL": "C.UTF-8", "NOTEBOOKD_SOCKET": path}
    env |= {} if colour else {"NO_COLOR": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *args], stdin=near, stdout=near, stderr=near, env=env
    ) as program:
        os.close(near)
        written = b""
        while True:
            try:
                data = os.read(far, 65536)
            except OSError:  # EIO: it ended
                break
            written += data
        assert program.wait(60) == 0, written.decode()
    os.close(far)
    return written.decode().replace("\r\n", "\n")


@pytest.fixture
def path(toy, name):
    workshop.furnish(toy)
    toy.on("GET /v1/usage", workshop.usage(*SCREENS[name][-1].split(","), "flavor"))
    return toy.path


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_screens_are_golden(golden, path, name, width):
    coloured = shown(path, SCREENS[name], width, colour=True)
    plain = shown(path, SCREENS[name], width, colour=False)
    golden(f"screens/{name}-{width}.txt", plain)
    if name == "top":  # the one that has colour
        golden(f"screens/{name}-{width}-colour.txt", coloured)
        assert not re.search(r"\x1b\[[0-9;]*3[0-9][;m]", plain)
        plain = _COLOUR.sub("", plain)
        assert "\x1b[" in coloured
    assert _COLOUR.sub("", coloured) == plain
    assert max(cell_len(line) for line in plain.splitlines()) <= width
