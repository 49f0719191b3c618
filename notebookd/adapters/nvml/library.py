# SPDX-License-Identifier: Apache-2.0
"""pynvml's hold on ``libnvidia-ml.so.1``, taken and let go."""

from __future__ import annotations

import _ctypes

import pynvml


def load() -> None:
    """Load the library if it is not, and initialise it. Raises NVMLError."""
    try:
        pynvml.nvmlInitWithFlags(0)
    except BaseException:
        unload()
        raise


def unload() -> None:
    """Unmap the library.

    pynvml loads it once and keeps it, and the loader answers a second request with what is mapped: after an upgrade of
    the driver that would be the old library for ever, and every call a version mismatch. No call may be under way.
    """
    library = pynvml.nvmlLib
    pointers = getattr(pynvml, "_nvmlGetFunctionPointer_cache", None)
    if library is None or pointers is None:
        return
    pointers.clear()
    pynvml.nvmlLib = None
    _ctypes.dlclose(library._handle)  # noqa: SLF001 - ctypes has no other way to unload what it has loaded
