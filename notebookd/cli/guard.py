# SPDX-License-Identifier: Apache-2.0
r"""What leaves the program, all of it: the one place between the verbs and the caller's stdout and stderr.

- Others write much of what is shown here: a notebook its log and its files' names, people their labels, a stranger the
  name of his process. On a terminal none of it is obeyed: what would move the cursor, change the title, write to the
  clipboard or turn the direction of writing is shown as ``^[`` or ``\u202e``. Into a pipe or a file it goes as it is.
- What the terminal's encoding lacks is replaced.
- An output that cannot be written ends the program without a traceback: :class:`Unwritten`.

Those who draw on the terminal themselves (``top``, spinners, ``exec``) ask for :func:`raw`, and see to it on their own.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Iterator
from typing import BinaryIO, NoReturn, TextIO, cast

from notebookd.neutral import neutral

__all__ = ["Unwritten", "guarded", "raw", "raw_bytes"]


class Unwritten(Exception):
    """The output cannot be written. No OSError, which would be taken for the daemon's connection."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.error = error


class _Guarded(io.TextIOBase):
    """A text stream before another."""

    def __init__(self, stream: TextIO, *, must_arrive: bool) -> None:
        self.stream = stream
        self._is_terminal = stream.isatty()
        self._must_arrive = must_arrive

    @property
    def buffer(self) -> _Bytes:
        """For bytes that are text: on a terminal they are no more obeyed than text is."""
        return _Bytes(self, shown=self._is_terminal)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As beneath."""
        return self.stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """As beneath."""
        return self.stream.errors

    def isatty(self) -> bool:
        """As beneath."""
        return self._is_terminal

    def fileno(self) -> int:
        """As beneath."""
        return self.stream.fileno()

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, text: str) -> int:
        """The text, on a terminal :func:`neutral`."""
        with self._unwritten():
            self.stream.write(neutral(text) if self._is_terminal else text)
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        """As they are, also to a terminal."""
        with self._unwritten():
            self.stream.flush()
            self.stream.buffer.write(data)

    def flush(self) -> None:
        """Have it arrive."""
        with self._unwritten():
            self.stream.flush()

    @contextlib.contextmanager
    def _unwritten(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self._must_arrive:
                raise Unwritten(error) from error
            with contextlib.suppress(OSError):  # what is still buffered would be tried again at the end, and fail it
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


class _Bytes:
    """A binary file in front of a guarded stream: its bytes are ``shown`` as its text is, or go as they are."""

    def __init__(self, stream: _Guarded, *, shown: bool) -> None:
        self._stream = stream
        self._shown = shown

    def write(self, data: bytes) -> int:
        """All of it."""
        if self._shown:
            self._stream.write(data.decode(errors="replace"))
        else:
            self._stream.write_bytes(data)
        return len(data)

    def flush(self) -> None:
        """Have it arrive."""
        self._stream.flush()


def raw(stream: TextIO) -> TextIO:
    """The stream as it is, for what draws on a terminal; where nobody looks, the guarded one."""
    return stream.stream if isinstance(stream, _Guarded) and stream.isatty() else stream


def raw_bytes(stream: TextIO) -> BinaryIO:
    """A binary file, ``write`` and ``flush``: what goes there goes as it is."""
    return cast(BinaryIO, _Bytes(stream, shown=False)) if isinstance(stream, _Guarded) else stream.buffer


@contextlib.contextmanager
def guarded(program: str) -> Iterator[None]:
    """Standard output and error guarded while the block lasts. It ends the program where the output cannot be
    written. What cannot be said on stderr is said to nobody."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _guard(sys.stdout, must_arrive=True), _guard(sys.stderr, must_arrive=False)
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except Unwritten as unwritten:
        _end(program, unwritten.error)
    finally:
        sys.stdout, sys.stderr = before


def _guard(stream: TextIO | None, *, must_arrive: bool) -> TextIO:
    """The stream guarded; for one that is closed, another that keeps nothing."""
    if stream is None:
        stream = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - as long as the program; quicker loaded
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    return cast(TextIO, _Guarded(stream, must_arrive=must_arrive))


def _end(program: str, error: OSError) -> NoReturn:
    """Quiet, as the signal ends programs, when nobody reads any more; else with a line."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered has nowhere to go
    if error.errno == errno.EPIPE:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    sys.stderr.write(f"{program}: cannot write the output: {(error.strerror or str(error)).lower()}\n")
    sys.stderr.flush()
    sys.exit(1)
