# SPDX-License-Identifier: Apache-2.0
"""What an error of rclone means. It has no codes for it: these are the words of it, of Go and of the services."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, auto

from notebookd.mover.report import Code


class Side(Enum):
    """Where bytes were being written: which disk it is that is full."""

    LOCAL = auto()
    REMOTE = auto()


_FULL = (
    "no space left", "disk quota exceeded", "not enough space", "remaining disk space", "file too large",
    "insufficient.?storage", r"\b507\b", "quota.?exceeded", "over.?quota", "exceeded.*quota", "storage.?full",
    "storagequota", "out of (?:disk )?space", "entitytoolarge",
)  # fmt: skip
_CONFIGURED = (
    "didn't find section in config",
    "didn't find backend",
    "unable to (?:parse|decrypt)",
    "couldn't decrypt",
)
_DENIED = (
    "access ?denied", "invalidaccesskey", "signaturedoesnotmatch", "authfailure", "invalidtoken", "expiredtoken",
    "forbidden", "unauthori[sz]ed", r"\b40[13]\b", "unable to authenticate", "permission denied",
    "couldn't fetch token", "invalidclienttokenid", "authorization", "requesttimetooskewed", "login incorrect",
    "key mismatch", "knownhosts",
)  # fmt: skip
_MISSING = ("nosuchbucket", "invalidbucketname", "bucket does not exist", "directory not found", "container not found")
_UNREACHABLE = (
    "connection re(?:fused|set)", "no such host", "i/o timeout", "network is unreachable", "no route to host",
    "handshake timeout", "deadline exceeded", r"\beof\b", "broken pipe", "connection (?:timed out|lost|closed)",
    "dial tcp", r"client\.timeout", "server misbehaving", "tls: ", "x509: ", r"\b50[0234]\b", "slowdown",
    "serviceunavailable", "awaiting response", "couldn't connect", "use of closed network",
)  # fmt: skip
_CHANGED = (
    "source file is being updated", "sizes differ", "hash(?:es)? differ", "checksums? differ", "corrupted on transfer",
    "max transfer limit",
)  # fmt: skip
_MEANINGS = (
    (Code.INVALID_SOURCE, _CONFIGURED),
    (Code.ACCESS_DENIED, _DENIED),
    (Code.SOURCE_NOT_FOUND, _MISSING),
    (Code.UNREACHABLE, _UNREACHABLE),
    (Code.CHANGED, _CHANGED),
)


def _any(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(words), re.IGNORECASE)


_IS_FULL = _any(_FULL)
_PATTERNS = tuple((code, _any(words)) for code, words in _MEANINGS)
_QUOTED = re.compile(r"\"[^\"]*\"")


def code_of(text: str, side: Side) -> Code | None:
    """The code of an error's text; None when it says nothing that is known. What stands in quotation marks (URLs, names
    of files) is not looked at."""
    words = _QUOTED.sub('""', text)
    if _IS_FULL.search(words):
        return Code.DISK_FULL if side is Side.LOCAL else Code.REMOTE_FULL
    return next((code for code, pattern in _PATTERNS if pattern.search(words)), None)
