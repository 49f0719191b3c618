# SPDX-License-Identifier: Apache-2.0
"""The ids of what lasts: each is text, and none can be mistaken for another."""

from __future__ import annotations

from typing import NewType

NotebookId = NewType("NotebookId", str)
RunId = NewType("RunId", str)
TokenId = NewType("TokenId", str)
