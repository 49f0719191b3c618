# SPDX-License-Identifier: Apache-2.0
"""What a mover's container can see and do, asked from the inside."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from notebookd.adapters.movers.movers import NAME
from notebookd.domain.ids import NotebookId
from notebookd.ports.movers import RestoreSnapshot, TakeSnapshot
from tests.contract.real_movers import RealWorld, real_world

pytestmark = pytest.mark.engine

NOTEBOOK = NotebookId("5a1c7e1e-0000-4000-8000-000000000001")
LOOK = """
grep -E "^Cap|NoNewPrivs|^Uid" /proc/self/status
echo config; cat /secrets/*
echo lists; ls -A /workspace /repository /volume; ls /
touch /x /usr/x /secrets/x /program/x 2>&1
env
"""


@pytest.fixture
async def world() -> AsyncIterator[RealWorld]:
    socket = os.environ.get("NOTEBOOKD_ENGINE")
    if not socket:
        pytest.skip("NOTEBOOKD_ENGINE names no engine")
    async with real_world(Path(socket)) as real:
        yield real


async def inside(world: RealWorld, mover_id: str, script: str) -> str:
    async with world.engine.exec(NAME + mover_id, ("/bin/sh", "-c", script), tty=False, stdin=False) as session:
        return b"".join([each.data async for each in session.output()]).decode()


async def test_mover_sees_one_volume_and_one_remote_and_has_no_privileges(world: RealWorld) -> None:
    other = world.config.paths.copy(NOTEBOOK, "other") / "data"
    world.write(other, {"private": b"of another volume"})
    world.write(world.config.paths.workspaces / NOTEBOOK, {"private": b"of the workspace"})
    await world.launch_slow("m1", NOTEBOOK)
    said = await inside(world, "m1", LOOK)
    status = dict(line.split(":", 1) for line in said.partition("config")[0].strip().splitlines())
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"].strip() == "1"
    assert set(status["Uid"].split()) == {"42420"}
    assert "[dav]" in said
    for hidden in ("[other]", "hidden", "private", str(world.config.paths.state)):
        assert hidden not in said
    assert said.count("Read-only file system") == 4
    await world.movers.clear("m1")


async def test_what_needs_no_network_has_none_and_sees_no_credentials_of_remotes(world: RealWorld) -> None:
    world.write(world.config.paths.workspaces / NOTEBOOK, {"big": bytes(3_000_000)})
    tar = world.movers.read_archive(NOTEBOOK, "")
    await anext(tar)
    (container,) = await world.engine.list_containers()
    mover_id = container.labels["io.notebookd.sync"]
    assert "io.notebookd.run" not in container.labels
    assert container.labels["io.notebookd.notebook"] == NOTEBOOK
    said = await inside(world, mover_id, "cat /proc/net/route; ls -A /secrets; touch /workspace/x 2>&1")
    assert len(said.splitlines()) == 2  # the headline of routes, and the refusal
    assert "Read-only" in said
    await tar.aclose()  # type: ignore[attr-defined]
    assert await world.engine.list_containers() == []


async def test_an_old_snapshot_comes_back_without_a_bit_that_makes_people_the_account(world: RealWorld) -> None:
    """restic restores modes, and the filter refuses this one. What the file holds is there, for its owner alone."""
    workspaces, fork = world.config.paths.workspaces, NotebookId("5a1c7e1e-0000-4000-8000-000000000002")
    world.write(workspaces / NOTEBOOK, {"tool": b"#!/bin/sh", "notes": b"kept"})
    (workspaces / NOTEBOOK / "tool").chmod(0o4755)
    await world.movers.launch("taken", TakeSnapshot(notebook_id=NOTEBOOK), owner="alice")
    taken = await world.over("taken")
    assert taken is not None
    assert taken.ok
    work = RestoreSnapshot(notebook_id=fork, origin=NOTEBOOK, snapshot=str(taken.facts["snapshot"]))
    await world.movers.launch("restored", work, owner="alice")
    restored = await world.over("restored")
    assert restored is not None
    assert restored.ok
    assert (workspaces / fork / "tool").read_bytes() == b"#!/bin/sh"
    assert stat.S_IMODE((workspaces / fork / "tool").stat().st_mode) == 0o600
    assert (workspaces / fork / "notes").read_bytes() == b"kept"
