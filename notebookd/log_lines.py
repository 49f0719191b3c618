# SPDX-License-Identifier: Apache-2.0
"""Lines of a service's log: what others wrote steers no terminal that shows them, and begins no line of its own."""

from __future__ import annotations

import logging

from notebookd.neutral import neutral, one_line

__all__ = ["LineFormatter"]


class LineFormatter(logging.Formatter):
    """A record's message is one line; a traceback behind it has its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        """The line."""
        return one_line(super().formatMessage(record) + self.about(record))

    def about(self, record: logging.LogRecord) -> str:  # noqa: ARG002 - for those who have something to say
        """What comes behind the message, in the same line."""
        return ""

    def format(self, record: logging.LogRecord) -> str:
        """The whole message."""
        return neutral(super().format(record))
