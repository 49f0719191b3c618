# SPDX-License-Identifier: Apache-2.0
"""tests/run prepares what the tests that are named need, and no more; `make test-fast` runs what needs nothing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAST = ("unit", "property", "scenario", "store", "cli")
ALL = "browser engine machine packages"


def needs(*arguments: str) -> str:
    """What tests/run would prepare beside .venv."""
    done = subprocess.run(
        [ROOT / "tests" / "run", "--needs", *arguments], capture_output=True, text=True, check=True, timeout=30
    )
    return " ".join(sorted(done.stdout.split()))


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("--fast",), ""),
        (("tests/unit",), ""),
        (("tests/unit/test_run.py::test_x", "-k", "leasing"), ""),
        (("tests/api", "tests/cli"), "packages"),
        (("tests/engine/test_live_idle_stop.py",), "engine packages"),
        (("tests/browser",), "browser engine packages"),
        (("tests/system",), "engine machine packages"),
        (("tests/unit", "tests/contract"), "engine packages"),
        ((), ALL),
        (("-k", "leasing"), ALL),
        (("tests",), ALL),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else None,
)
def test_what_is_named_is_prepared(arguments: tuple[str, ...], wanted: str) -> None:
    assert needs(*arguments) == wanted


@pytest.mark.parametrize("tier", FAST)
def test_the_fast_tiers_ask_for_no_engine(tier: str) -> None:
    marked = re.compile(r"pytest\.mark\.(engine|browser|system|gpu)\b")
    files = [path.name for path in (ROOT / "tests" / tier).rglob("*.py") if marked.search(path.read_text("utf-8"))]
    assert files == []
