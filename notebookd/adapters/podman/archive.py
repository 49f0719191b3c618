# SPDX-License-Identifier: Apache-2.0
"""What libpod packs a file into."""

from __future__ import annotations

import io
import tarfile

LARGEST_BYTES = 8 * 1024 * 1024


def only_file(packed: bytes) -> bytes | None:
    """The file in a tar archive of one; None when it is of another kind, or larger than a few MiB."""
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        entry = archive.next()
        if entry is None or not entry.isfile() or entry.size > LARGEST_BYTES:
            return None
        file = archive.extractfile(entry)
        return None if file is None else file.read()
