# SPDX-License-Identifier: Apache-2.0
"""The house as DESIGN draws it: who imports whom, and what real tests are made of."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = sorted((ROOT / "notebookd").rglob("*.py"))
TESTS = ROOT / "tests"
LONG_WITH_REASON = {
    "notebookd/daemon.py _machine": "the composition root: every name once, in the order in which they are made",
}
REAL_TIERS = ("engine", "browser", "system")


def imports(file: Path) -> set[str]:
    """Every module that a file names in an import, wherever it stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_imports_run_one_way() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("tier", REAL_TIERS)
def test_real_tiers_know_neither_fakes_nor_mocks(tier: str) -> None:
    for file in sorted((TESTS / tier).rglob("*.py")):
        for name in imports(file):
            assert not name.startswith(("notebookd.testing", "unittest.mock", "mock", "pytest_mock")), file


def test_nothing_is_mocked_anywhere() -> None:
    for file in (*PACKAGE, *sorted(TESTS.rglob("*.py"))):
        assert not {name for name in imports(file) if name.split(".")[0] == "mock" or "unittest.mock" in name}, file


def test_no_fake_is_served() -> None:
    """What is installed and run never reaches into notebookd.testing."""
    for file in PACKAGE:
        if "testing" not in file.relative_to(ROOT).parts:
            assert not {name for name in imports(file) if name.startswith("notebookd.testing")}, file


def test_every_file_names_its_licence() -> None:
    sources = [*PACKAGE, *TESTS.rglob("*.py"), *(ROOT / "contrib").rglob("*.py")]
    missing = [
        file.relative_to(ROOT)
        for file in sources
        if (text := file.read_text(encoding="utf-8")) and "SPDX-License-Identifier: Apache-2.0" not in text[:200]
    ]
    assert missing == []


def test_annotations_are_never_evaluated() -> None:
    lacking = []
    for file in PACKAGE:
        text = file.read_text(encoding="utf-8")
        defines = any(line.lstrip().startswith(("def ", "class ")) for line in text.splitlines())
        if defines and "from __future__ import annotations" not in text:
            lacking.append(file.relative_to(ROOT))
    assert lacking == []


def test_modules_stay_under_600_lines() -> None:
    """A sign to look, not a rule of style: a file is one idea, and no idea here takes more."""
    sizes = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in PACKAGE}
    long = {name: lines for name, lines in sizes.items() if lines > 600}
    assert long == {}


def test_functions_stay_under_50_lines() -> None:
    long = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}"
        for file in PACKAGE
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= 50
    ]
    assert [each for each in long if each.partition(":")[0] + " " + each.split()[1] not in LONG_WITH_REASON] == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"manager", "helper", "helpers", "util", "utils", "common", "misc"}
    assert [file for file in PACKAGE if empty & set(file.stem.split("_"))] == []


def test_a_run_is_written_in_one_place() -> None:
    """So that its events, its bill and its leases follow from every change: see domain/consequences."""
    writing = [
        str(file.relative_to(ROOT))
        for file in PACKAGE
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "put_run"
    ]
    assert writing == ["notebookd/record/entries.py"]


def test_the_api_reads_and_writes_nothing_by_itself() -> None:
    """Who may see which notebooks is decided by services: no route has the store, the engine or the files in hand."""
    held = {"notebookd.ports.store.Store", "notebookd.ports.store.Reader", "notebookd.ports.engine.Engine"}
    held |= {"notebookd.ports.files.Files", "notebookd.ports.movers.Movers", "notebookd.ports.volumes.Volumes"}
    for file in sorted((ROOT / "notebookd/api").rglob("*.py")):
        assert not held & imports(file), file
