# SPDX-License-Identifier: Apache-2.0
"""What remotes can do. rclone is asked (``backend features``), but for those that everybody has: that costs a start of
rclone, and with SFTP a connection."""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a remote can do. ``whole``: an object appears under its name when all of it is there. ``digest``: the hash
    that its listings give for free, or empty. ``moves``: a file can be renamed there. ``lookers``: how many folders are
    best listed at a time."""

    whole: bool = False
    digest: str = ""
    moves: bool = False
    lookers: int = 8


_KNOWN = {
    "s3": Abilities(whole=True, digest="md5"),
    "sftp": Abilities(moves=True, lookers=4),  # each is a connection, and rclone opens ten of them a second at most
    "webdav": Abilities(moves=True),
}
_WITH_HASHES = {"fastmail", "nextcloud", "owncloud"}
"""Vendors of WebDAV servers that can do more than WebDAV."""


def known_abilities(config: Path, remote: str) -> Abilities | None:
    """What a remote of that configuration can do, None when rclone must be asked."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(config.read_text(encoding="utf-8"))
        section = parser[remote]
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError):
        return None  # rclone says better what is wrong with it
    if section.get("vendor", "") in _WITH_HASHES:
        return None
    return _KNOWN.get(section.get("type", ""))
