# SPDX-License-Identifier: Apache-2.0
"""Prints the GPUs' UUIDs, or why they cannot be had, as JSON.

A program, run by path: a sick driver can hang whoever asks it so that not even SIGKILL ends it, and the doctor has to
go on.
"""

from __future__ import annotations

import json
import sys


def look() -> dict[str, object]:
    """``uuids``, or ``trouble`` in the driver's words."""
    try:
        import pynvml
    except ImportError as error:
        return {"trouble": str(error)}
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return {"uuids": [str(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles]}
    except pynvml.NVMLError as error:
        return {"trouble": str(error)}


if __name__ == "__main__":
    json.dump(look(), sys.stdout)
