# SPDX-License-Identifier: Apache-2.0
"""What the doctor says of the seccomp profile, and of files that make whoever runs them the account."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from notebookd.doctor import Finding, Status
from tests.unit.test_doctor import ME, World, world

__all__ = ["world"]


def found(world: World, name: str = "set-id files") -> list[Finding]:
    return [each for each in world.findings() if each.name == name]


@pytest.fixture
def lab(world: World) -> Path:
    """A datastore that notebooks may write to."""
    world.settings["datastore"] = [{"alias": "lab", "path": "/srv/lab", "write": ["*"]}]
    made = world.root / "srv/lab"
    made.mkdir(parents=True)
    return made


def program(file: Path, mode: int) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("#!/bin/sh\n")
    file.chmod(mode)
    return file


def test_a_machine_without_such_files_is_well(world: World, lab: Path) -> None:
    program(lab / "tool", 0o755)
    program(world.config.paths.workspaces / "nb" / "tool", 0o755)
    (lab / "shared").mkdir()
    (lab / "shared").chmod(0o2775)  # a folder whose group is handed down is none
    (lab / "link").symlink_to("/usr/bin/su")
    (finding,) = found(world)
    assert (finding.status, finding.seen) == (Status.OK, f"no file makes whoever runs it {ME}")


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6000])
def test_a_file_that_makes_people_the_account_is_a_failure_with_its_name(world: World, lab: Path, mode: int) -> None:
    program(lab / "a" / "b" / "sh", mode)
    (finding,) = found(world)
    assert finding.status is Status.FAIL
    assert finding.seen.startswith("/srv/lab/a/b/sh: whoever runs it is")
    assert finding.cure == f"find /srv/lab -xdev -user {ME} -type f -perm /6000 -exec chmod ug-s {{}} +"


def test_workspaces_and_copies_are_looked_at_too(world: World) -> None:
    """A notebook can carry a file with its bits from one of its folders to another: overlayfs copies them."""
    paths = world.config.paths
    for folder in (paths.workspaces, paths.volumes, paths.cache):
        program(folder / "x" / "one", 0o4755)
        program(folder / "x" / "two", 0o4755)
    assert [each.status for each in found(world)] == [Status.FAIL] * 3
    assert all("and 1 more" in each.seen for each in found(world))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_anothers_files_are_theirs(world: World, lab: Path) -> None:
    os.chown(program(lab / "theirs", 0o755), 65533, 65533)
    (lab / "theirs").chmod(0o4755)
    assert [each.status for each in found(world)] == [Status.OK]


def test_a_folder_that_notebooks_write_to_wants_nosuid(world: World, lab: Path) -> None:
    world.nosuid = False
    wants, _ = found(world)
    assert wants.status is Status.WARN
    assert "/srv/lab /srv/lab none bind,nosuid,nodev 0 0" in (wants.cure or "")
    world.settings["datastore"] = [{"alias": "lab", "path": "/srv/lab", "read": ["*"]}]
    assert [each.status for each in found(world)] == [Status.OK]


@pytest.mark.parametrize(
    "security", [{}, {"seccompEnabled": False}, {"seccompEnabled": True, "seccompProfilePath": "/nonexistent.json"}]
)
def test_an_engine_without_a_profile_is_a_failure(world: World, security: dict[str, Any]) -> None:
    world.info["host"]["security"] = {"rootless": True} | security
    (finding,) = found(world, "seccomp")
    assert finding.status is Status.FAIL
    assert "no notebook starts" in finding.seen
