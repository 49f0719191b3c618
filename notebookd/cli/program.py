# SPDX-License-Identifier: Apache-2.0
"""The program ``notebookctl``.

While its modules load, nothing is looked at for garbage, and what was loaded never is: it stays to the end, and to look
at it again and again takes a fifth of the time of a short command.
"""

from __future__ import annotations

import gc

__all__ = ["main"]


def main() -> None:
    """The entry point."""
    gc.disable()
    from notebookd.cli.main import main as run

    gc.freeze()
    gc.enable()
    run()
