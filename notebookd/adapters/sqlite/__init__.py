# SPDX-License-Identifier: Apache-2.0
"""SQLite as the store: WAL, ``synchronous=FULL``, one writer behind one lock, reads in the loop."""

from notebookd.adapters.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
