# SPDX-License-Identifier: Apache-2.0
"""One machine for the tier, with the package built from this checkout and installed as an admin would.

The files run in the order of their names, and the last takes the package away.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.machine import Unable, booted
from tests.system.workstation import ADMIN, IMAGE, OUTSIDER, PEOPLE, Workstation, build_package, image_archive

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these need the machine, and the first of them the time it takes to make one."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.system)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(600))
            if not os.environ.get("NOTEBOOKD_MACHINE"):
                item.add_marker(pytest.mark.skip("boots a machine, minutes of it: asked for by NOTEBOOKD_MACHINE=yes"))


@pytest.fixture(scope="session")
def workstation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workstation]:
    """Booted, installed, its image loaded; alice and bob are members, olga is an admin, mallory is nobody."""
    folder = tmp_path_factory.mktemp("package")
    try:
        with booted() as machine:
            ours = Workstation(machine=machine, package=build_package(folder))
            ours.root("mkdir", "-p", "/var/log/journal")
            ours.root("journalctl", "--flush")
            for name in (*PEOPLE, OUTSIDER, ADMIN):
                ours.root("useradd", "--create-home", "--shell", "/bin/bash", name)
            ours.install(ours.package)
            for name in (*PEOPLE, ADMIN):
                ours.root("usermod", "--append", "--groups", "notebookd", name)
            ours.root("usermod", "--append", "--groups", "notebookd-admin", ADMIN)
            image = machine.put(image_archive())
            ours.root("notebookd-engine", "podman", "load", "--quiet", "--input", image, timeout_s=180)
            mapped = "--userns=keep-id:uid=42420,gid=42420"  # as the doctor says: its layers are chowned once
            ours.root(
                "notebookd-engine", "podman", "run", "--rm", "--network=none", mapped, IMAGE, "true", timeout_s=180
            )
            yield ours
    except Unable as reason:
        pytest.skip(str(reason))
