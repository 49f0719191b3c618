# SPDX-License-Identifier: Apache-2.0
"""An empty restic repository whose key opens at once: restic makes its own such that each try takes half a second.

It is what ``restic init`` made, but for the key: the same master key, wrapped with scrypt at N=2.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode
from pathlib import Path

PASSWORD = "a password"
KEY = (
    '{"created":"2026-11-23T00:00:00Z","username":"tests","hostname":"tests","kdf":"scrypt","N":2,"r":8,"'
    'p":1,"salt":"g8mK3OBRhZC9Wnj/7K3APcqnxv5cYLHOaEaOicp9t4GEIqFA2txaUPTaeTTDkwCtEaacufouowErzKNYie3z3g='
    '=","data":"XV/SW8zzYeZcxxQW6mt8u4TBl5dA9oSyoVt7GZfoXUxZFhLYPkTIjSRRN2fIwabC13IbRhuITkqoykQdqvRbQCjpq'
    "5NexdE2QzfK2KndG1NQSevJ0Ll7BmX2zv5BBocMsMpuZAZ/C8siyk15JwBsRevKgTs5eo3KSJ/IRwGZNMbJ9+c5Z8pkLei49/Hd+"
    'bDumDapM7ZyzHmafvsXAPL8Ug=="}'
)
CONFIG = (
    "nDGf4V8388aYZQ/LPzyvolUJh4VisZICCGoWNbwh3vqdaQ0B0+FmjaUKntVZb+tNRXGBJ/N6SWo2Vi6o68UWD57xB1IiXlIO+Svy"
    "OSbhcSvOuvN6icm8bXSsdXA/H4CT970CbAC0IPKfsziWkWUzVI0ZupftHtt2oBtK6qT7RA2N0B4JjnfGptZ4elbDAY1NUYBdMmVg"
    "PWN12l0="
)


def lay_out_repository(folder: Path) -> None:
    """Make that repository in ``folder``."""
    for name in ("keys", "snapshots", "locks", "index", *(f"data/{number:02x}" for number in range(256))):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "keys" / hashlib.sha256(KEY.encode()).hexdigest()).write_text(KEY)
    (folder / "config").write_bytes(b64decode(CONFIG))
