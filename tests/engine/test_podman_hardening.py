# SPDX-License-Identifier: Apache-2.0
"""What a container can see and do, asked from the inside."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from notebookd import nofollow
from notebookd.errors import DeviceUnresolvable, EngineError, MountMoved
from notebookd.ports.engine import Container, ContainerStatus, Mount
from tests.contract.podman_world import PodmanWorld, eventually

pytestmark = pytest.mark.engine
CDI = Path("/etc/cdi")


async def inside(world: PodmanWorld, script: str, **changes: object) -> str:
    """The output of a container that runs the script to its end."""
    spec = world.spec("sh", "-c", script, **changes)
    await world.engine.create(spec)
    await world.engine.start(spec.name)

    async def look() -> Container | None:
        return await world.engine.find(spec.name)

    await eventually(look, lambda c: c.status is not ContainerStatus.RUNNING)
    return "\n".join([line.content async for line in world.engine.logs(spec.name)])


async def test_container_has_no_privileges(podman: PodmanWorld) -> None:
    status = dict(line.split(":", 1) for line in (await inside(podman, "cat /proc/self/status")).splitlines())
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"42420"}


async def test_container_is_the_account_on_the_host(podman: PodmanWorld) -> None:
    spec = podman.spec("sh", "-c", "exec sleep 300")
    await podman.engine.create(spec)
    running = await podman.engine.start(spec.name)
    account = podman.socket.stat().st_uid
    assert Path(f"/proc/{running.pid}").stat().st_uid == account


async def test_mounts_are_written_as_the_account_and_kept_read_only(podman: PodmanWorld) -> None:
    shared, fixed = Path(f"/tmp/notebookd-{uuid.uuid4()}"), Path(f"/tmp/notebookd-{uuid.uuid4()}")
    account = podman.socket.stat()
    for folder in (shared, fixed):
        folder.mkdir(mode=0o700)
        os.chown(folder, account.st_uid, account.st_gid)
    mounts = (
        Mount(source=str(shared), target="/workspace"),
        Mount(source=str(fixed), target="/data", read_only=True),
    )
    try:
        script = "echo hi > /workspace/a; echo hi > /data/a || echo refused"
        assert "refused" in await inside(podman, script, mounts=mounts)
        (name,) = [container.name for container in await podman.engine.list_containers()]
        # What is asked for; crun 1.8 leaves nosuid and nodev out of a writable bind mount in a user namespace.
        assert all({"nosuid", "nodev"} <= set(mount["Options"]) for mount in podman.inspect(name)["Mounts"])
        assert (shared / "a").read_text() == "hi\n"
        assert (shared / "a").stat().st_uid == account.st_uid
        assert list(fixed.iterdir()) == []
    finally:
        (shared / "a").unlink(missing_ok=True)
        shared.rmdir()
        fixed.rmdir()


async def test_mount_without_a_source_is_refused(podman: PodmanWorld) -> None:
    spec = podman.spec("true", mounts=(Mount(source=f"/tmp/{uuid.uuid4()}", target="/x"),))
    with pytest.raises(EngineError):
        await podman.engine.create(spec)


async def test_container_finds_what_the_spec_says(podman: PodmanWorld) -> None:
    said = await inside(podman, "pwd; env; cat /proc/sys/kernel/hostname; df -k /dev/shm", shm_bytes=7 * 2**20)
    lines = said.splitlines()
    assert lines[0] == "/workspace"
    assert "HOME=/workspace" in lines
    assert "COLOUR=teal" in lines
    assert "notebook" in lines
    assert "7168" in lines[-1].split()


def outer_address() -> str | None:
    """An address of this machine that is not its loopback."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
        return address


async def test_hosts_loopback_is_not_reached(podman: PodmanWorld) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"REACHED\n")
        await writer.drain()
        writer.close()

    inner = await asyncio.start_server(greet, "127.0.0.1", 0)
    outer = await asyncio.start_server(greet, "0.0.0.0", 0)
    async with inner, outer:
        port = inner.sockets[0].getsockname()[1]
        tries = [f"nc -w 2 {host} {port} </dev/null" for host in ("127.0.0.1", "10.0.2.2", "host.containers.internal")]
        assert "REACHED" not in await inside(podman, "; ".join(tries) + "; echo over")
        if address := outer_address():  # the same way reaches what is open to the network, so that it is a way
            open_port = outer.sockets[0].getsockname()[1]
            assert "REACHED" in await inside(podman, f"nc -w 2 {address} {open_port} </dev/null")


async def test_output_is_bounded(podman: PodmanWorld) -> None:
    spec = podman.spec("sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' '\\n'; echo end", log_bytes=100_000)
    await podman.engine.create(spec)
    await podman.engine.start(spec.name)
    await eventually(lambda: podman.engine.find(spec.name), lambda c: c.status is ContainerStatus.EXITED)
    config = podman.inspect(spec.name)["HostConfig"]["LogConfig"]
    assert config["Type"] == "k8s-file"
    assert Path(config["Path"]).stat().st_size <= 200_000


async def test_limits_are_those_that_the_engine_can_set(podman: PodmanWorld) -> None:
    spec = podman.spec("sh", "-c", "exec sleep 300", cpus=0.5, memory_bytes=64 * 2**20, pids=77)
    await podman.engine.create(spec)
    assert (await podman.engine.start(spec.name)).status is ContainerStatus.RUNNING
    config = podman.inspect(spec.name)["HostConfig"]
    controllers = (await podman.engine.info()).controllers
    assert config["Memory"] == (64 * 2**20 if "memory" in controllers else 0)
    assert config["CpuQuota"] == (50_000 if "cpu" in controllers else 0)
    assert config["PidsLimit"] == (77 if "pids" in controllers else 0)


async def test_podman_restarts_and_checks_nothing_by_itself(podman: PodmanWorld) -> None:
    created = await podman.engine.create(podman.spec("true"))
    body = podman.inspect(created.name)
    assert body["HostConfig"]["RestartPolicy"]["Name"] in ("", "no")
    assert body["Config"].get("Healthcheck") in (None, {"Test": ["NONE"]})
    assert body["HostConfig"]["PortBindings"] in ({}, None)


@pytest.fixture
def cdi_device() -> Iterator[str]:
    """A CDI device with an environment variable and a device node, as a GPU's spec has."""
    if os.getuid() != 0:
        pytest.skip("only root writes /etc/cdi")
    kind = f"notebookd-{uuid.uuid4().hex[:8]}.test/gpu"
    edits = {"env": ["NOTEBOOKD_TEST_GPU=yes"], "deviceNodes": [{"path": "/dev/null", "hostPath": "/dev/null"}]}
    spec = {"cdiVersion": "0.5.0", "kind": kind, "devices": [{"name": "0", "containerEdits": edits}]}
    CDI.mkdir(mode=0o755, exist_ok=True)
    file = CDI / f"{kind.split('.', maxsplit=1)[0]}.json"
    file.write_text(json.dumps(spec))
    file.chmod(0o644)
    yield f"{kind}=0"
    file.unlink(missing_ok=True)


async def test_device_is_looked_up_at_every_start(podman: PodmanWorld, cdi_device: str) -> None:
    spec = podman.spec("sh", "-c", "echo $NOTEBOOKD_TEST_GPU; exec sleep 300", devices=(cdi_device,))
    await podman.engine.create(spec)
    await podman.engine.start(spec.name)

    async def output() -> list[str]:
        return [line.content async for line in podman.engine.logs(spec.name)]

    assert await eventually(output, bool) == ["yes"]
    await podman.engine.stop(spec.name, grace_s=0)
    (CDI / f"{cdi_device.split('.', maxsplit=1)[0]}.json").unlink()
    with pytest.raises(DeviceUnresolvable):
        await podman.engine.start(spec.name)


async def test_mount_is_not_moved_by_a_link_in_the_workspace(podman: PodmanWorld) -> None:
    workspace, data = podman.make_folder("workspace"), podman.folder("/workspace/data")
    mounts = (Mount(source=str(workspace), target="/workspace"), data)
    spec = podman.spec("sh", "-c", "exec sleep 300", mounts=mounts)
    await podman.engine.create(spec)
    (workspace / "data").symlink_to("/etc")
    with pytest.raises(MountMoved, match="/workspace/data"):
        await podman.engine.start(spec.name, checked=mounts)
    (workspace / "data").unlink()
    assert (await podman.engine.start(spec.name, checked=mounts)).status is ContainerStatus.RUNNING


async def test_folder_on_the_way_to_a_source_is_not_swapped_for_a_link(podman: PodmanWorld) -> None:
    source, secret = podman.make_folder("store", "team", "data"), podman.make_folder("secret", "data")
    mount = Mount(source=str(source), target="/data", identity=nofollow.identity_of(source))
    spec = podman.spec("sh", "-c", "exec sleep 300", mounts=(mount,))
    await podman.engine.create(spec)
    source.parent.rename(source.parents[1] / "away")
    source.parent.symlink_to(secret.parent)
    with pytest.raises(MountMoved):
        await podman.engine.start(spec.name, checked=(mount,))


async def test_start_goes_on_where_a_killed_daemon_left_off(podman: PodmanWorld) -> None:
    mount = podman.folder("/data")
    spec = podman.spec("sh", "-c", "exec sleep 300", mounts=(mount,))
    created = await podman.engine.create(spec)
    for began in (False, True):
        await podman.cleared(created.id)
        podman.client.post(f"/containers/{created.id}/init").raise_for_status()
        ready = await podman.engine.find(spec.name)
        assert ready is not None
        assert ready.status is (ContainerStatus.EXITED if began else ContainerStatus.CREATED)
        assert (await podman.engine.start(spec.name, checked=(mount,))).status is ContainerStatus.RUNNING
        await podman.engine.stop(spec.name, grace_s=0)
