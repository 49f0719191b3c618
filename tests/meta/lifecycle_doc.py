# SPDX-License-Identifier: Apache-2.0
"""Writes docs/lifecycle.md from the table that is the machine: ``python -m tests.meta.lifecycle_doc``."""

from __future__ import annotations

from pathlib import Path

from notebookd.domain.run import EDGES, RunState, diagram, notebook_state

PAGE = Path(__file__).parents[2] / "docs" / "lifecycle.md"

_HEAD = """\
<!-- Written by `python -m tests.meta.lifecycle_doc`; change notebookd/domain/run.py instead. -->
# The lifecycle of a run

Each start of a notebook makes a *run*. The table below is the only way in which a run changes its state; the
notebook shows the state of its latest run. How a run ends (its *outcome*) is written once: a run that had a
container passes INTERRUPTING and FINALIZING before it takes the state that its outcome names.

"""


def page() -> str:
    """The whole page."""
    states = "".join(f"| {state} | {notebook_state(state, deleting=False)} |\n" for state in RunState)
    edges = "".join(f"| {edge.source} | {edge.target} | {edge.when} |\n" for edge in EDGES)
    return (
        f"{_HEAD}```mermaid\n{diagram()}```\n\n"
        f"| run | its notebook shows |\n|---|---|\n{states}\n"
        "A notebook that is being deleted shows DELETING, whatever its run.\n\n"
        f"| from | to | when |\n|---|---|---|\n{edges}"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
