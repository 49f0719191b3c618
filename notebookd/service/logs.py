# SPDX-License-Identifier: Apache-2.0
"""What a notebook's container printed: as it prints, or as it was kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime

from notebookd.domain.container import container_name
from notebookd.domain.entry import Entry
from notebookd.errors import ContainerMissing
from notebookd.ports.engine import Engine, LogLine
from notebookd.ports.files import Files


class Logs:
    """Reads of logs. Whether the caller may is asked before: they come with the notebook."""

    def __init__(self, engine: Engine, files: Files) -> None:
        self._engine = engine
        self._files = files

    async def lines(
        self, entry: Entry, since: datetime | None, tail: int | None, *, follow: bool
    ) -> AsyncIterator[LogLine]:
        """The output. When its container ends, Podman lets go of a follower before the last lines: those are read
        after."""
        last, alike = since, 0
        async for line in self._output(entry, since, tail, follow=follow):
            alike = alike + 1 if line.at == last else 1
            last, tail = line.at, None
            yield line
        if follow:
            async for line in self._output(entry, last, tail, follow=False):
                if last is None or line.at > last or (line.at == last and alike <= 0):
                    yield line
                elif line.at == last:
                    alike -= 1

    async def _output(
        self, entry: Entry, since: datetime | None, tail: int | None, *, follow: bool
    ) -> AsyncIterator[LogLine]:
        """The running container's output, or what was kept of the last one's."""
        if entry.run.launched_at is not None:
            try:
                lines = self._engine.logs(container_name(entry.run), since=since, tail=tail, follow=follow)
                async for line in lines:
                    yield line
                return
            except ContainerMissing:
                pass
        skipped = 0 if tail is None else await _count(self._kept(entry, since)) - tail
        async for line in self._kept(entry, since):
            skipped -= 1
            if skipped < 0:
                yield line

    async def _kept(self, entry: Entry, since: datetime | None) -> AsyncIterator[LogLine]:
        async with aclosing(self._files.read_log(entry.notebook.id, entry.run.id)) as lines:
            async for line in lines:
                if since is None or line.at >= since:
                    yield line


async def _count(lines: AsyncIterator[LogLine]) -> int:
    count = 0
    async for _ in lines:
        count += 1
    return count
