# SPDX-License-Identifier: Apache-2.0
"""Reading the configuration again while notebooks run: what can change does, and the log says what does not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from pathlib import Path

from notebookd.config import Config
from notebookd.config.mentions import Kind, Mention, absent_words, mentions_of
from notebookd.config.reload import differences, reloaded
from notebookd.errors import ConfigError, DirectoryUnavailable
from notebookd.ports.directory import Directory

log = logging.getLogger(__name__)


class Reload:
    """``running`` is what the daemon runs on; ``read`` reads what there is now, ``apply`` puts it in force."""

    def __init__(self, running: Config, read: Callable[[], Config], apply: Callable[[Config], None]) -> None:
        self.running = running
        self._read = read
        self._apply = apply

    def __call__(self) -> None:
        """Read it again. One that cannot be used changes nothing."""
        try:
            fresh = self._read()
        except ConfigError as fault:
            log.error("the configuration stays as it was: %s", fault.message)  # noqa: TRY400 - no traceback to a typo
            return
        going_on = reloaded(self.running, fresh)
        changed, waiting = differences(self.running, going_on), differences(going_on, fresh)
        if going_on != self.running:
            self.running = going_on
            self._apply(going_on)
        log.info("the configuration was read again; changed: %s", ", ".join(changed) or "nothing")
        if waiting:
            log.warning("restart to have these changes of the configuration: %s", ", ".join(waiting))


class Absences:
    """Says in the log what the configuration names and is not there: a limit for nobody holds nobody back.
    ``flavors`` are those that there are, None where that is not known."""

    def __init__(self, directory: Directory, flavors: Callable[[], Collection[str] | None]) -> None:
        self._directory = directory
        self._flavors = flavors

    async def tell(self, config: Config) -> None:
        """Look for every name, and log a warning for each that is absent."""
        flavors, mentions = self._flavors(), mentions_of(config)
        async with asyncio.TaskGroup() as looking:
            found = [looking.create_task(self._is_there(each, flavors)) for each in mentions]
        for mention, there in zip(mentions, found, strict=True):
            if not there.result():
                said, hint = absent_words(mention, flavors or () if mention.kind is Kind.FLAVOR else ())
                log.warning("the configuration: %s: %s (%s)", mention.key, said, hint)

    async def _is_there(self, mention: Mention, flavors: Collection[str] | None) -> bool:
        """Whether it is, or cannot be looked at."""
        try:
            match mention.kind:
                case Kind.USER:
                    return await self._directory.person(mention.name) is not None
                case Kind.GROUP:
                    return await self._directory.has_group(mention.name)
                case Kind.FLAVOR:
                    return flavors is None or mention.name in flavors
                case _:
                    return await asyncio.to_thread(_lies_there, Path(mention.name))
        except (DirectoryUnavailable, OSError):
            return True


def _lies_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
