# SPDX-License-Identifier: Apache-2.0
"""What the doctor says of a container's init, of hooks and of certificates."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebookd.doctor import Status
from tests.unit.test_doctor import World, world
from tests.unit.test_doctor_surroundings import only

__all__ = ["world"]


def statuses(world: World, name: str) -> list[Status]:
    return [each.status for each in world.findings() if each.name == name]


def test_a_machine_with_an_init_and_without_hooks_is_well(world: World) -> None:
    world.programs["catatonit"] = "/usr/bin/catatonit"
    assert statuses(world, "init") == statuses(world, "hooks") == [Status.OK]
    assert statuses(world, "ca_file") == []


def test_a_missing_init_is_named_with_its_package(world: World) -> None:
    world.programs.pop("catatonit", None)
    assert "apt-get install catatonit" in (only(world, "init").cure or "")


@pytest.mark.parametrize("folder", ["usr/share/containers/oci/hooks.d", "etc/containers/oci/hooks.d"])
def test_a_hook_of_nvidias_is_found(world: World, folder: str) -> None:
    hooks = world.root / folder
    hooks.mkdir(parents=True)
    (hooks / "other.json").write_text('{"hook": {"path": "/usr/bin/other"}}')
    (hooks / "oci.json").write_text('{"hook": {"path": "/usr/bin/nvidia-container-toolkit"}}')
    found = only(world, "hooks")
    assert f"/{folder}/oci.json" in found.seen
    assert "other.json" not in found.seen


def test_certificates_that_cannot_be_used_are_found(world: World, tmp_path: Path) -> None:
    world.settings["notebooks"] = {"ca_file": str(tmp_path / "lab.pem")}
    assert "No such file" in only(world, "ca_file").seen
    (tmp_path / "lab.pem").write_text("no certificate")
    assert "PEM" in only(world, "ca_file").seen
    (tmp_path / "lab.pem").write_text("-----BEGIN CERTIFICATE-----")
    assert statuses(world, "ca_file") == [Status.OK]
