# SPDX-License-Identifier: Apache-2.0
"""The notifier port: telling the service supervisor how we are.

Implementation: :class:`notebookd.adapters.systemd.SystemdNotifier`, which is silent where nobody listens.
No method raises: a supervisor that cannot be told is no reason to stop serving.
"""

from __future__ import annotations

from typing import Protocol


class Notifier(Protocol):
    """A service supervisor's ear."""

    def ready(self, status: str) -> None:
        """We serve now; ``status`` is one line for people."""
        ...

    def reloading(self) -> None:
        """We read our configuration again; :meth:`ready` follows."""
        ...

    def status(self, text: str) -> None:
        """One line for people: what we are doing."""
        ...

    def watchdog(self) -> None:
        """We are alive. To be sent by a loop that did its work, never by a bare timer."""
        ...

    def stopping(self) -> None:
        """We are on our way out."""
        ...

    def extend_timeout(self, us: int) -> None:
        """Starting or stopping takes longer: wait at least ``us`` microseconds from now."""
        ...
