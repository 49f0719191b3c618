# SPDX-License-Identifier: Apache-2.0
"""Reading the configuration again while notebooks run: what can change does, and the log says what does not."""

from __future__ import annotations

import logging
from collections.abc import Callable

from notebookd.config import Config
from notebookd.config.reload import differences, reloaded
from notebookd.errors import ConfigError

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
