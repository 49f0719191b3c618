# SPDX-License-Identifier: Apache-2.0
"""Texts of the driver. Nothing promises that they are UTF-8: a damaged board names itself in any bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pynvml


def text(function: Callable[..., Any], *arguments: Any) -> str:
    """What the call says, for people; U+FFFD stands for what is not UTF-8. Raises NVMLError."""
    return _said(function, *arguments).decode(errors="replace")


def identity(handle: Any) -> tuple[str, bool]:
    r"""A GPU's UUID, and whether it is text. Bytes that are not are written as ``\xf8``, so that two damaged UUIDs stay
    two. Raises NVMLError."""
    said = _said(pynvml.nvmlDeviceGetUUID, handle)
    return said.decode(errors="backslashreplace"), said.isascii() and said.decode().isprintable()


def _said(function: Callable[..., Any], *arguments: Any) -> bytes:
    try:
        answer = function(*arguments)
    except UnicodeDecodeError as error:  # pynvml decodes by itself; the error has the bytes
        return error.object
    return answer if isinstance(answer, bytes) else str(answer).encode()
