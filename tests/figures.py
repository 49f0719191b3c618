# SPDX-License-Identifier: Apache-2.0
"""What tests have found out and the end of a run is to say: by topic and name, text or numbers.

Workers of pytest-xdist hand theirs over when they are done, so that there is one summary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

Rows = dict[str, Any]
CRASH_POINTS = "crash points (a step is one side of a port call or of a commit)"
SDK_CALLS = "the SDK, call by call"

_FIGURES = pytest.StashKey[dict[str, Rows]]()


def figures_of(config: pytest.Config) -> dict[str, Rows]:
    """All of them so far; what is put there is said."""
    return config.stash.setdefault(_FIGURES, {})


def merge(config: pytest.Config, more: Mapping[str, Rows]) -> None:
    """Take over those of a worker."""
    for topic, rows in more.items():
        figures_of(config).setdefault(topic, {}).update(rows)


def lines(topic: str, rows: Rows) -> Iterator[str]:
    """The lines of a topic."""
    if topic == CRASH_POINTS:
        rows = rows | {"in all": [sum(counts) for counts in zip(*rows.values(), strict=True)]}
        for scene, (enumerated, covered) in rows.items():
            yield f"{scene:<34}{enumerated:>7} enumerated {covered:>7} covered"
    else:
        yield from (f"{name}: {text}" for name, text in rows.items())


def sdk_lines(reporter: pytest.TerminalReporter) -> list[str]:
    """What became of each call of the SDK that is in scope; nothing where none was tried."""
    words = {"passed": "passes", "failed": "FAILS", "error": "FAILS", "skipped": "skipped"}
    results = {
        report.nodeid.rpartition("::test_call_")[2]: word
        for outcome, word in words.items()
        for report in reporter.getreports(outcome)
        if "test_live_sdk.py::test_call_" in report.nodeid
    }
    if not results:
        return []
    from tests.engine.sdk import calls

    rows = [f"{name:<44}{path:<50}{results.get(name, 'not run')}" for name, path in calls().items()]
    passing = sum(1 for word in results.values() if word == "passes")
    return [*rows, f"{passing} of {len(rows)} calls of ovhai pass"]
