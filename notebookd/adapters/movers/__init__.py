# SPDX-License-Identifier: Apache-2.0
"""The movers port by containers of the engine.

A mover's folder ``state/movers/<id>/`` has ``job/``, by which the daemon and the program inside speak, and
``secrets/``. The program is :mod:`notebookd.mover`, run by the host's own Python. ``jobs`` says what each kind of work
comes to, ``remotes`` what of the administrator's rclone configuration a mover gets to see, ``rootfs`` what it is rooted
in, ``folder`` what it is told and says, ``archives`` how tar streams go in and out.
"""

from __future__ import annotations

from notebookd.adapters.movers.movers import ContainerMovers

__all__ = ["ContainerMovers"]
