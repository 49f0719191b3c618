# SPDX-License-Identifier: Apache-2.0
"""Real containers' processes, as the service's account sees them from outside."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.contract.podman_world import PodmanWorld, eventually
from tests.engine.live import CHECKOUT, as_account, open_folder

pytestmark = pytest.mark.engine

LOOK = """
import json, sys
from dataclasses import asdict
from notebookd.adapters.processes import SystemProcesses
found = SystemProcesses().look([int(pid) for pid in sys.argv[1:]])
print(json.dumps([asdict(found[int(pid)]) for pid in sys.argv[1:]]))
"""


def seen_by_the_account(*pids: int) -> list[dict[str, object]]:
    """The facts, looked up by the service's account; it may not be able to enter the checkout."""
    with open_folder() as folder:
        package = folder / "notebookd"
        shutil.copytree(CHECKOUT / "notebookd", package, ignore=shutil.ignore_patterns("__pycache__"))
        for copy in (package, *package.rglob("*")):
            copy.chmod(0o755 if copy.is_dir() else 0o644)
        program = ("setpriv", "--no-new-privs", "env", f"PYTHONPATH={folder}", "/usr/bin/python3", "-c", LOOK)
        done = as_account(*program, *map(str, pids))
    assert done.returncode == 0, done.stderr
    seen: list[dict[str, object]] = json.loads(done.stdout)
    return seen


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_a_containers_processes_share_the_namespace_of_its_first(podman: PodmanWorld) -> None:
    spec = podman.spec("sh", "-c", "sleep 300 & sleep 300 & wait")
    other = podman.spec("sleep", "300")
    for each in (spec, other):
        await podman.engine.create(each)
        await podman.engine.start(each.name)
    first, stranger = (podman.inspect(each.name)["State"]["Pid"] for each in (spec, other))

    async def children() -> list[int]:
        shell = children_of(first)
        return children_of(shell[0]) if shell else []

    inside = await eventually(children, lambda seen: len(seen) == 2)
    init, one, two, elsewhere, own = seen_by_the_account(first, *inside, stranger, os.getpid())
    assert init["pid_namespace"] is not None
    assert init["pid_namespace"] == one["pid_namespace"] == two["pid_namespace"]
    assert elsewhere["pid_namespace"] not in {None, init["pid_namespace"]}
    assert own["pid_namespace"] != init["pid_namespace"]
    assert init["user"] == one["user"] == elsewhere["user"] == "notebookd"
    assert one["command"] == "sleep"
    identities = {name: podman.inspect(name)["Id"] for name in (spec.name, other.name)}
    assert init["container_id"] in {None, identities[spec.name]}
    assert elsewhere["container_id"] in {None, identities[other.name]}
