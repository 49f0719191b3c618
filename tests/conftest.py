# SPDX-License-Identifier: Apache-2.0
"""How tests are spread over the workers of pytest-xdist, and what is said at the end of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.figures import SDK_CALLS, Rows, figures_of, lines, merge, sdk_lines

# How long an example takes says something of the machine only; what takes too long ends by the test's own time limit.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# What shares a machine, accounts or one count stays on one worker; any other file is on a worker of its own choice.
TOGETHER = {
    "tests/engine/": "engine",
    "tests/browser/": "engine",
    "tests/contract/": "engine",
    "tests/system/": "system",
    "tests/api/": "api",
}
ALONE = {"engine": "engine", "browser": "engine", "system": "system"}
"""Where a test with that marker has to be."""


def together(nodeid: str) -> str:
    """The name of those that run one after the other, on one worker: a part of the tests, or a file."""
    file = nodeid.partition("::")[0]
    return next((part for folder, part in TOGETHER.items() if file.startswith(folder)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Part by part, the one of the most tests first."""
    from xdist.scheduler import LoadScopeScheduling

    class PartByPart(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return together(nodeid)

    return PartByPart(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two workers must not meet at the engine, nor at the machine; and of two tests of one id they would run one."""
    ids: set[str] = set()
    for item in items:
        if not item.nodeid.endswith(item.name):  # schemathesis gives all operations one id
            item._id = item.id.with_params(item.name.partition("[")[2].removesuffix("]"))
        if item.nodeid in ids:
            raise pytest.UsageError(f"there are two tests {item.nodeid}")
        ids.add(item.nodeid)
        for marker, part in ALONE.items():
            if item.get_closest_marker(marker) is not None and together(item.nodeid) != part:
                raise pytest.UsageError(f"{item.nodeid} is marked {marker}: it belongs to the part {part} of TOGETHER")


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> dict[str, Rows]:
    """What the end of the run is to say, by topic and name."""
    return figures_of(pytestconfig)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands over what it found out."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["figures"] = figures_of(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """One that was killed has left nothing."""
    merge(node.config, getattr(node, "workeroutput", {}).get("figures", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The figures, and the SDK's table; ``NOTEBOOKD_SDK_TABLE`` names a file that is to have the table too."""
    for topic, rows in figures_of(config).items():
        _say(terminalreporter, topic, list(lines(topic, rows)))
    if table := sdk_lines(terminalreporter):
        _say(terminalreporter, SDK_CALLS, table)
        if path := os.environ.get("NOTEBOOKD_SDK_TABLE"):
            Path(path).write_text("\n".join(table) + "\n", encoding="utf-8")


def _say(reporter: pytest.TerminalReporter, topic: str, text: list[str]) -> None:
    reporter.section(topic)
    for line in text:
        reporter.write_line(line)
