# SPDX-License-Identifier: Apache-2.0
"""A machine that carries no data: until the movers are there."""

from __future__ import annotations

from typing import Any

from notebookd.domain.syncing import Report


class Nothing:
    """Neither volumes nor movers."""

    async def list_movers(self) -> set[str]:
        """None."""
        return set()

    async def launch(self, *_: Any, **__: Any) -> None:
        """Nothing to launch."""

    async def clear(self, *_: Any) -> None:
        """Nothing to clear."""

    async def look(self, _: str) -> Any:
        """Done at once."""
        return Report(over=True, ok=True)

    async def sweep_cache(self, *_: Any, **__: Any) -> list[str]:
        """Nothing to sweep."""
        return []

    async def purge_snapshots(self, _: str) -> None:
        """Nothing to purge."""

    async def measure(self, _: str) -> int:
        """Nothing to measure."""
        return 0

    async def discard(self, *_: Any, **__: Any) -> None:
        """Nothing to discard."""

    async def prepare(self, *_: Any, **__: Any) -> None:
        """Nothing to prepare."""

    def mounts(self, *_: Any) -> tuple[Any, ...]:
        """Nothing to mount."""
        return ()
