# SPDX-License-Identifier: Apache-2.0
"""What the doctor says of movers' programs and of datastores."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import pytest

from notebookd.doctor import Finding, Status
from tests.unit.test_doctor import World, world

__all__ = ["world"]


def found(world: World, name: str = "datastores") -> list[Finding]:
    return [each for each in world.findings() if each.name == name]


def with_store(world: World, **store: Any) -> list[Finding]:
    world.settings["datastore"] = [{"alias": "lab"} | store]
    return found(world)


@pytest.mark.parametrize("program", ["rclone", "git", "restic"])
@pytest.mark.parametrize("place", [None, "/usr/local/bin"])
def test_program_that_movers_lack_is_named(world: World, program: str, place: str | None) -> None:
    del world.programs[program]
    if place is not None:
        world.programs[program] = f"{place}/{program}"
    (finding,) = found(world, "movers")
    assert (finding.status, finding.cure) == (Status.WARN, f"apt-get install {program}")


def test_no_datastores_are_no_finding(world: World) -> None:
    assert found(world) == []


# credentials


@pytest.mark.parametrize(
    ("mode", "words"), [(0o640, None), (0o600, None), (0o644, "people may read"), (0o200, "may not read")]
)
def test_credentials_are_for_the_service_alone(world: World, mode: int, words: str | None) -> None:
    file = world.folder / "rclone.conf"
    file.touch()
    file.chmod(mode)
    (finding,) = with_store(world, type="rclone", remote="s3", config=str(file))
    assert finding.status is (Status.OK if words is None else Status.FAIL)
    assert words is None or (words in finding.seen and "chmod 0640" in (finding.cure or ""))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_credentials_that_members_may_read_are_a_failure(world: World) -> None:
    file = world.folder / "rclone.conf"
    file.touch()
    os.chown(file, 0, 65533)
    file.chmod(0o640)
    (finding,) = with_store(world, type="rclone", remote="s3", config=str(file))
    assert finding.status is Status.FAIL


def test_credentials_that_are_absent_are_a_failure(world: World) -> None:
    (finding,) = with_store(world, type="rclone", remote="s3", config=str(world.folder / "absent"))
    assert finding.status is Status.FAIL
    assert "rclone config" in (finding.cure or "")


# folders


def folder(world: World, path: str) -> Path:
    made = world.root / path.lstrip("/")
    made.mkdir(parents=True)
    return made


def test_folder_that_is_absent_is_a_failure(world: World) -> None:
    (finding,) = with_store(world, path="/srv/lab")
    assert (finding.status, finding.cure) == (Status.FAIL, "mkdir -p /srv/lab")


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("/home/lab", "ProtectHome=tmpfs BindReadOnlyPaths=/home/lab"),
        ("/tmp/lab", "[Service] BindReadOnlyPaths=/tmp/lab"),
    ],
)
def test_folder_that_the_sandbox_hides_is_told_where_there_is_one(world: World, path: str, lines: str) -> None:
    folder(world, path)
    (finding,) = with_store(world, path=path)
    assert finding.status is Status.OK
    world.write("/usr/sbin/notebookd-engine", "")
    (finding,) = with_store(world, path=path)
    assert finding.status is Status.WARN
    assert lines in (finding.cure or "")


def test_folder_that_people_share_wants_a_default_acl(world: World) -> None:
    made = folder(world, "/srv/lab")
    (finding,) = with_store(world, path="/srv/lab", write=["*"])
    assert finding.status is Status.WARN
    assert "setfacl" in (finding.cure or "")
    entries = ((0x01, 7, 0xFFFFFFFF), (0x04, 7, 0xFFFFFFFF), (0x20, 7, 0xFFFFFFFF))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(made, "system.posix_acl_default", acl)
    except OSError:
        pytest.skip("this file system has no ACLs")
    (finding,) = with_store(world, path="/srv/lab", write=["*"])
    assert finding.status is Status.OK
    (finding,) = with_store(world, path="/srv/lab", read=["*"])
    assert finding.status is Status.OK
