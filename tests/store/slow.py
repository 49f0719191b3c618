# SPDX-License-Identifier: Apache-2.0
"""A writer that is held up on its way to the disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from notebookd.adapters.sqlite import SqliteStore


@contextmanager
def held(store: SqliteStore) -> Iterator[None]:
    """Nothing is committed while this block lasts: the writer's thread has something else to do."""
    on = threading.Event()
    store._writes._tx.put_nowait((None, on.wait))
    try:
        yield
    finally:
        on.set()
