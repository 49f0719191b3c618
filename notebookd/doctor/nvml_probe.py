# SPDX-License-Identifier: Apache-2.0
"""Prints the GPUs' UUIDs, or why they cannot be had, as JSON.

A program, run by path: a sick driver can hang whoever asks it so that not even SIGKILL ends it, and the doctor has to
go on. It needs nothing of notebookd.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def look() -> dict[str, object]:
    r"""``uuids``, bytes in them that are not UTF-8 as ``\xf8``; or ``trouble`` in the driver's words."""
    try:
        import pynvml
    except ImportError as error:
        return {"trouble": str(error)}
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return {"uuids": [_uuid(pynvml.nvmlDeviceGetUUID, handle) for handle in handles]}
    except pynvml.NVMLError as error:
        return {"trouble": str(error)}


def _uuid(function: Any, handle: Any) -> str:
    try:
        return str(function(handle))
    except UnicodeDecodeError as error:  # pynvml decodes by itself; the error has the bytes
        return error.object.decode(errors="backslashreplace")


if __name__ == "__main__":
    json.dump(look(), sys.stdout)
