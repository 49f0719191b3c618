# SPDX-License-Identifier: Apache-2.0
"""``half_migration PATH``: brings a database up to date; in the last migration says ``half``, and waits for a kill."""

from __future__ import annotations

import signal
import sqlite3
import sys
from pathlib import Path

from notebookd.adapters.sqlite import schema
from tests.values import NOW


def said() -> None:
    """Tell, and wait for ever."""
    print("half", flush=True)
    signal.pause()


if __name__ == "__main__":
    path = Path(sys.argv[1])
    *earlier, last = schema.load_migrations()
    schema.load_migrations = lambda: [*earlier, f"{last}\nSELECT said();\n"]  # type: ignore[assignment]
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.create_function("said", 0, said)
        connection.execute("PRAGMA journal_mode = WAL")
        schema.migrate(connection, path, NOW)
