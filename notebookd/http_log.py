# SPDX-License-Identifier: Apache-2.0
"""What the servers log of HTTP itself: nothing that a request bears, since it may bear a token."""

from __future__ import annotations

import logging
from typing import Final

from aiohttp.http_exceptions import HttpProcessingError

__all__ = ["http_log"]


class _NoBytesOfOthers(logging.Filter):
    """Keeps out what aiohttp says of requests that are no HTTP: it quotes them, and a token may be in the quotation."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it may be logged."""
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


http_log: Final = logging.getLogger("notebookd.http")
http_log.addFilter(_NoBytesOfOthers())
