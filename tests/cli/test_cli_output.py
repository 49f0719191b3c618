# SPDX-License-Identifier: Apache-2.0
"""Outputs that take nothing more: a pipe that nobody reads, a full disk, a terminal that lacks letters."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiohttp import web

from tests.cli import worlds
from tests.cli.test_cli_copy import ARCHIVE, tar
from tests.cli.test_cli_program import exec_server
from tests.cli.worlds import A, me, notebook, page

PROGRAM = [sys.executable, "-c", "from notebookd.cli.main import main; main()"]
FULL = "notebookctl: cannot write the output: no space left on device\n"
VERBS = [
    ["list"],
    ["list", "-o", "json"],
    ["list", "-o", "yaml"],
    ["get", A, "-o", "csv"],
    ["gpu"],
    ["top", "--once"],
    ["logs", A],
    ["events"],
    ["cp", f"{A}:x", "-"],
    ["completion", "bash"],
    ["--help"],
    ["exec", A, "--", "yes"],
]


@pytest.fixture
def world(toy):
    toy.on("GET /v1/me", me())
    toy.on("GET /v1/notebook", page(*[notebook(name="\u00e9t\u00e9 \u2603")] * 500))
    toy.on(f"GET /v1/notebook/{A}", notebook())
    toy.on(f"GET /v1/notebook/{A}/log", {"logs": worlds.LOG["logs"] * 3000})
    toy.on("GET /v1/gpu", worlds.STATION)
    toy.on("GET /v1/queue", worlds.WAITING)
    toy.on("GET /v1/health", worlds.HEALTH)
    toy.on("GET /v1/event", worlds.EVENTS * 3000)
    toy.on(f"GET {ARCHIVE}", tar(("x", b"x" * 500_000)))
    return toy


async def endless(request):
    """A command that writes without end."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    try:
        while True:
            await socket.send_bytes(b"\x01" + b"y\n" * 4096)
            await asyncio.sleep(0)
    except (ConnectionError, asyncio.CancelledError):
        return socket


def run(path, *args, stdout=subprocess.PIPE, **environment):
    return subprocess.run(
        [*PROGRAM, *args],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, "NOTEBOOKD_SOCKET": path, **environment},
        timeout=60,
        check=False,
        text=True,
        encoding="latin-1",
    )


def on(world, tmp_path, args, stdout):
    if args[0] != "exec":
        return run(world.path, *args, stdout=stdout)
    path = str(tmp_path / "exec.sock")
    with exec_server(path, endless):
        return run(path, *args, stdout=stdout)


@pytest.mark.parametrize("args", VERBS, ids=" ".join)
def test_a_full_disk_is_one_line_and_exit_1(world, tmp_path, args):
    with Path("/dev/full").open("wb") as full:
        done = on(world, tmp_path, args, full)
    assert (done.returncode, done.stderr) == (1, FULL)


@pytest.mark.parametrize("args", [VERBS[0], VERBS[5], VERBS[6], VERBS[8], VERBS[-1]], ids=" ".join)
def test_a_pipe_that_nobody_reads_is_quiet_as_by_the_signal(world, tmp_path, args):
    reading, writing = os.pipe()
    os.close(reading)
    began = time.monotonic()
    try:
        done = on(world, tmp_path, args, writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, "")
    assert time.monotonic() - began < 8


def test_exec_into_head_is_what_head_shows(tmp_path):
    path = str(tmp_path / "exec.sock")
    with exec_server(path, endless):
        command = 'set -o pipefail; "$@" | head -1'
        done = subprocess.run(
            ["bash", "-c", command, "-", *PROGRAM, "exec", A, "--", "yes"],
            capture_output=True,
            env={**os.environ, "NOTEBOOKD_SOCKET": path},
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGPIPE, b"y\n", b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_stderr_that_takes_nothing_changes_nothing(world, unbuffered):
    environment = {**os.environ, "NOTEBOOKD_SOCKET": world.path, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*PROGRAM, "get", "nobody"], stderr=full, env=environment, check=False)
    assert done.returncode == 1


def test_a_closed_output_is_no_traceback(world):
    command = '"$@" >&-'
    done = run(world.path, "list", stdout=subprocess.DEVNULL)
    assert done.returncode == 0
    done = subprocess.run(
        ["bash", "-c", command, "-", *PROGRAM, "list"],
        capture_output=True,
        env={**os.environ, "NOTEBOOKD_SOCKET": world.path},
        check=False,
    )
    assert b"Traceback" not in done.stderr


LATIN = {"PYTHONIOENCODING": "iso-8859-1"}
ASCII = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.mark.parametrize("args", [["list"], ["top", "--once"], ["logs", A]])
@pytest.mark.parametrize("environment", [LATIN, ASCII], ids=["iso-8859-1", "ascii"])
def test_what_the_terminal_lacks_is_replaced(world, args, environment):
    hostile = json.loads(notebook(name="\u00e9t\u00e9 \u2603"))
    world.on("GET /v1/notebook", page(json.dumps(hostile).encode()))
    world.on(f"GET /v1/notebook/{A}", hostile)
    world.on(f"GET /v1/notebook/{A}/log", {"logs": [worlds.LOG["logs"][0] | {"content": "\u00e9t\u00e9 \u2603"}]})
    done = run(world.path, *args, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    if args[0] == "logs" and environment is LATIN:
        assert done.stdout == "\u00e9t\u00e9 ?\n"
    if args[0] == "list" and environment is LATIN:
        assert "\u00e9t\u00e9 ?" in done.stdout


def test_an_argument_in_utf8_is_understood_in_every_locale(world):
    world.on("GET /v1/notebook", page(notebook(name="\u00e9t\u00e9")))
    done = run(world.path, "get", "\u00e9t\u00e9".encode(), **ASCII)
    assert (done.returncode, done.stderr) == (0, "")
    done = run(world.path, "get", b"\xff\xfe", **ASCII)
    assert done.returncode in {1, 2}
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["check-config"], ["--help"], ["doctor", "--help"]], ids=" ".join)
def test_the_daemons_program_ends_likewise(words):
    program = [sys.executable, "-c", "import sys; from notebookd.daemon import main; sys.exit(main())"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*program, *words], stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (1, FULL.replace("notebookctl", "notebookd").encode())
