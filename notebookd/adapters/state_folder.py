# SPDX-License-Identifier: Apache-2.0
"""The state folder as one process's own."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from notebookd.errors import ConfigError


@contextmanager
def hold(state: Path) -> Iterator[None]:
    """Hold the state folder: two processes over one would fight.

    Raises:
        ConfigError: it cannot be used, or another process holds it.
    """
    try:
        handle = os.open(state / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise ConfigError(f"cannot use the state folder {state}: {fault.strerror}") from fault
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(
            f"cannot use the state folder {state}: another notebookd holds it", hint="stop that one first"
        ) from None
    else:
        yield
    finally:
        os.close(handle)
