# SPDX-License-Identifier: Apache-2.0
"""The program inside a mover's container: it carries data between one volume (or workspace) and one place.

Standard library only, and nothing of notebookd outside this package: all that a mover's container has is the host's
``/usr`` and this folder. It is run by its path (``python3 -I .../notebookd/mover/__main__.py``), reads
``/job/job.json``, says how far it is in ``progress.json`` and ends with ``result.json``. Any instruction of it may be
the last: what it leaves is such that the next one goes on from there.

``tasks`` dispatches; ``job`` is what comes in, ``report`` what goes out, ``child`` runs programs, ``tree`` touches
trees that a notebook can rewrite, ``manifest`` remembers what was transferred. Each task is a function
``(Job, Reporter) -> Result`` that raises :class:`~notebookd.mover.report.Fault` when it cannot be done.
"""
