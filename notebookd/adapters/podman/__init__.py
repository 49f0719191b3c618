# SPDX-License-Identifier: Apache-2.0
"""The engine port on rootless Podman's libpod API (4.3 and later)."""

from __future__ import annotations

from notebookd.adapters.podman.engine import PodmanEngine

__all__ = ["PodmanEngine"]
