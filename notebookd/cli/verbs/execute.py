# SPDX-License-Identifier: Apache-2.0
"""``notebookctl exec``: a command in the notebook, its streams carried over a websocket.

Binary frames, the first byte says what they are: 0 stdin (empty: its end), 1 stdout, 2 stderr, 3 the end with
``{exitCode}``, 4 ``{width,height}``. aiohttp is loaded here alone, and only when the verb runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import posixpath
import shutil
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
import msgspec

from notebookd.cli import words
from notebookd.cli.guard import Unwritten, raw_bytes
from notebookd.cli.here import Here, Verb, notebook_argument, pass_here
from notebookd.cli.naming import notebook_id
from notebookd.client import Client, Refused, Unreachable, unreachable

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse

STDIN, STDOUT, STDERR, END, SIZE = range(5)


@click.command("exec", cls=Verb)
@notebook_argument
@click.option("-i", "--stdin", "interactive", is_flag=True, help="Give it this command's input.")
@click.option("-t", "--tty", "terminal", is_flag=True, help="Give it a terminal.")
@click.option("-e", "--env", "env", multiple=True, metavar="K=V", help="Environment variable for it.")
@click.option("-w", "--workdir", "folder", metavar="PATH", help="Folder that it runs in, below /workspace or absolute.")
@click.argument("command", nargs=-1, required=True, metavar="-- CMD...", type=click.UNPROCESSED)
@pass_here
def verb(
    here: Here,
    *,
    notebook: str,
    interactive: bool,
    terminal: bool,
    env: tuple[str, ...],
    folder: str | None,
    command: tuple[str, ...],
) -> None:
    """Run a command in a notebook.

    It exits with the command's status. No shell is in between: for one, -- sh -c "...".
    """
    variables = dict(words.pairs(env, "--env"))
    place = posixpath.join("/workspace", folder) if folder else None
    identity = notebook_id(here, notebook)
    target = here.client.exec_target(identity, command, stdin=interactive, tty=terminal, env=variables, folder=place)
    with _raw_terminal() if terminal and interactive else contextlib.nullcontext():
        status = asyncio.run(_converse(here.client, target, interactive=interactive, terminal=terminal))
    sys.exit(status)


async def _converse(client: Client, target: str, *, interactive: bool, terminal: bool) -> int:
    import aiohttp
    from yarl import URL

    address = client.address
    url = URL(f"{address.url}{target}", encoded=True)
    connector = aiohttp.TCPConnector() if address.path is None else aiohttp.UnixConnector(path=address.path)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, headers=client.headers()) as session,
            session.ws_connect(url, max_msg_size=0) as socket,
        ):
            if terminal:
                await _follow_size(socket)
            if interactive:
                _feed(socket)
            try:
                return await _output(socket)
            except Unwritten:  # nobody reads: do not wait for what is still on its way
                await connector.close()
                raise
    except aiohttp.WSServerHandshakeError as error:
        reason = await asyncio.to_thread(client.exec_refusal, target)
        if isinstance(reason, Refused) and reason.status == error.status:
            raise reason from error
        message = f"cannot run the command: the daemon answered {error.status}"
        raise Refused(status=error.status, code="refused", message=message) from error
    except OSError as error:
        raise unreachable(address, error) from error


async def _output(socket: ClientWebSocketResponse) -> int:
    """Write what comes until the end; the command's status."""
    from aiohttp import WSMsgType

    streams = {STDOUT: raw_bytes(sys.stdout), STDERR: raw_bytes(sys.stderr)}
    async for message in socket:
        if message.type is not WSMsgType.BINARY or not message.data:
            continue
        kind, data = message.data[0], message.data[1:]
        if kind == END:
            return int(msgspec.json.decode(data)["exitCode"])
        if kind in streams:
            streams[kind].write(data)
            streams[kind].flush()
    raise Unreachable("the connection ended before the command did", hint="it may still run in the notebook")


def _feed(socket: ClientWebSocketResponse) -> None:
    """Send stdin from a thread: files, pipes and terminals can all be read there, and it may die with the program."""
    loop = asyncio.get_running_loop()

    def pump() -> None:
        with contextlib.suppress(OSError, RuntimeError, asyncio.CancelledError):
            while True:
                data = os.read(0, 32_768)
                asyncio.run_coroutine_threadsafe(socket.send_bytes(bytes((STDIN,)) + data), loop).result()
                if not data:
                    return

    threading.Thread(target=pump, daemon=True).start()


async def _follow_size(socket: ClientWebSocketResponse) -> None:
    """Tell the size of the terminal, now and whenever it changes."""
    loop = asyncio.get_running_loop()

    def frame() -> bytes:
        columns, lines = shutil.get_terminal_size()
        return bytes((SIZE,)) + msgspec.json.encode({"width": columns, "height": lines})

    def changed() -> None:
        asyncio.run_coroutine_threadsafe(socket.send_bytes(frame()), loop)

    await socket.send_bytes(frame())
    loop.add_signal_handler(signal.SIGWINCH, changed)


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Every key goes to the command, Ctrl-C too. Without a terminal nothing changes."""
    if not os.isatty(0):
        yield
        return
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
