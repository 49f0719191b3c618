# SPDX-License-Identifier: Apache-2.0
"""Exec sessions of :class:`~notebookd.testing.engine.FakeEngine`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from notebookd.errors import EngineError
from notebookd.ports.engine import ExecOutput
from notebookd.testing.engine_script import Cat, Exit, Read, Say, Sleep, Step, TerminalSize, Trap


class FakeExec:
    """An :class:`~notebookd.ports.engine.ExecSession` that takes the steps of a script as its output is read."""

    def __init__(self, steps: tuple[Step, ...], *, tty: bool, stdin: bool) -> None:
        self._steps = steps
        self._tty = tty
        self._stdin: asyncio.Queue[bytes] = asyncio.Queue()
        self._size = (0, 0)
        self._code: int | None = None
        if not stdin:
            self._stdin.put_nowait(b"")

    async def output(self) -> AsyncIterator[ExecOutput]:
        """Yield output until the command ended."""
        for step in self._steps:
            match step:
                case Say(text, stream):
                    yield self._out(text.encode(), stream)
                case Exit(code):
                    self._code = code
                    return
                case Sleep():
                    await asyncio.Event().wait()
                case Trap():
                    pass
                case Read():
                    data = await self._stdin.get()
                    if self._tty:
                        yield self._out(data, 1)  # a terminal echoes
                case Cat():
                    while data := await self._stdin.get():
                        yield self._out(data, 1)
                case TerminalSize():
                    columns, rows = self._size
                    yield self._out(f"{rows} {columns}\n".encode(), 1)
        self._code = 0

    async def write(self, data: bytes) -> None:
        """Send bytes to its stdin."""
        if data:
            self._stdin.put_nowait(data)

    async def close_stdin(self) -> None:
        """End its stdin."""
        self._stdin.put_nowait(b"")

    async def resize(self, *, width: int, height: int) -> None:
        """Tell its tty a new size in cells."""
        self._size = (width, height)

    async def exit_code(self) -> int:
        """Its exit status."""
        if self._code is None:
            raise EngineError("cannot read a command's exit status: it is still running")
        return self._code

    def _out(self, data: bytes, stream: int) -> ExecOutput:
        if self._tty:
            return ExecOutput(stream=1, data=data.replace(b"\n", b"\r\n"))
        return ExecOutput(stream=stream, data=data)
