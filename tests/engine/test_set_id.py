# SPDX-License-Identifier: Apache-2.0
"""No container leaves a file on the host that makes whoever runs it the service's account or of its group."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebookd.ports.engine import ContainerStatus, Mount
from tests.contract.podman_world import PodmanWorld, eventually

pytestmark = pytest.mark.engine
PROGRAM = Path(__file__).with_name("set_id_attempts.py")
HOST = {"/usr": "/usr", "/lib": "/usr/lib", "/lib64": "/usr/lib64"}


def handed(world: PodmanWorld, path: Path, mode: int) -> None:
    """Give a path to the account, with that mode."""
    account = world.socket.stat()
    os.chown(path, account.st_uid, account.st_gid)
    path.chmod(mode)


async def python(world: PodmanWorld, program: Path, *words: str, data: Path) -> str:
    """The last line of what a program says in a container that has the host's Python and ``data`` at /data."""
    tools = world.make_folder("tools")
    shutil.copyfile(program, tools / program.name)
    (tools / program.name).chmod(0o644)
    found = {target: source for target, source in HOST.items() if Path(source).is_dir()} | {
        "/data": str(data),
        "/tools": str(tools),
    }
    mounts = tuple(Mount(source=source, target=target, read_only=target != "/data") for target, source in found.items())
    command = ("/usr/bin/python3", f"/tools/{program.name}", *words)
    spec = world.spec(*command, mounts=mounts, env={"PATH": "/usr/sbin:/usr/bin"}, tmpfs=("/tmp",))
    await world.engine.create(spec)
    await world.engine.start(spec.name)
    await eventually(lambda: world.engine.find(spec.name), lambda c: c.status is not ContainerStatus.RUNNING)
    return [line.content async for line in world.engine.logs(spec.name)][-1]


def set_ids(folder: Path) -> Iterator[str]:
    """Regular files and folders with one of the bits, by name and mode."""
    for at, folders, files in os.walk(folder):
        for name in (*folders, *files):
            mode = (Path(at) / name).lstat().st_mode
            if mode & (stat.S_ISUID | stat.S_ISGID):
                yield f"{name} {stat.S_IMODE(mode):o}"


async def attempts(world: PodmanWorld, *words: str) -> tuple[Path, dict[str, str]]:
    """What was tried in a container's folder, of which one part hands its group down, and another has a program of the
    account's from before there was a filter."""
    data = world.make_folder("data")
    for name in ("shared", "before"):
        (data / name).mkdir()
    (data / "before" / "program").write_bytes(b"#!/bin/sh\n")
    handed(world, data / "before" / "program", 0o6755)
    handed(world, data / "before", 0o755)
    handed(world, data / "shared", 0o2775)
    return data, json.loads(await python(world, PROGRAM, "/data", *words, data=data))


async def test_no_way_leaves_a_file_that_runs_as_the_account(podman: PodmanWorld) -> None:
    data, said = await attempts(podman)
    assert sorted(set_ids(data)) == ["program 6755", "shared 2775"]  # what an admin made so
    assert len(said) > 25
    assert {name for name, result in said.items() if result == "done"} == {
        "mkdir",  # the kernel takes no such bit there
        "user namespace, file capabilities",  # see below
    }, said
    for name in ("chmod 4755", "fchmod", "open O_CREAT 4755", "O_TMPFILE, link", "creat", "mknod", "inherited group"):
        assert said[name] == "EPERM"
    assert said["openat2"] == said["io_uring"] == "ENOSYS"
    for name in (name for name in said if "copied up" in name or "tmpfs" in name):
        assert said[name].startswith("RuntimeError: "), name
        assert "permi" in said[name].lower(), said[name]  # denied, not permitted
    of_other_abis = {result for name, result in said.items() if name.startswith(("32 bits", "x32"))}
    assert of_other_abis <= {"EPERM", "ENOSYS"}  # a kernel that has no such programs has no such calls


async def test_file_capabilities_set_in_a_user_namespace_give_nobody_anything(podman: PodmanWorld) -> None:
    """A filter cannot see an attribute's name. But the kernel notes in whose namespace they were set, and honours them
    only where that account is root."""
    data, said = await attempts(podman)
    assert said["user namespace, file capabilities"] == "done", said
    assert os.getxattr(data / "capable", "security.capability")
    for who in (65534, podman.socket.stat().st_uid):
        command = [str(data / "capable"), "^CapEff", "/proc/self/status"]
        words = ["setpriv", f"--reuid={who}", f"--regid={who}", "--clear-groups", *command]
        ran = subprocess.run(words, capture_output=True, text=True, check=True, cwd="/")
        assert int(ran.stdout.split(":")[1], 16) == 0


async def test_what_people_do_with_files_still_works(podman: PodmanWorld) -> None:
    _, said = await attempts(podman, "--daily")
    assert set(said.values()) == {"done"}, said
    assert len(said) == 11


async def test_a_command_run_in_a_container_is_held_as_well(podman: PodmanWorld) -> None:
    data = podman.make_folder("data")
    spec = podman.spec("sleep", "300", mounts=(Mount(source=str(data), target="/data"),))
    await podman.engine.create(spec)
    await podman.engine.start(spec.name)
    script = "cp /bin/busybox /data/sh && /bin/busybox chmod 4755 /data/sh"
    async with podman.engine.exec(spec.name, ("sh", "-c", script), tty=False, stdin=False) as session:
        said = b"".join([each.data async for each in session.output()])
        assert await session.exit_code() == 1
    assert b"Operation not permitted" in said
    assert list(set_ids(data)) == []
