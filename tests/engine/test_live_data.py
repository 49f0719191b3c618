# SPDX-License-Identifier: Apache-2.0
"""Data in, data out on the real daemon: real containers, real movers, a real S3 server, a real Git server."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebookd import wire
from tests.engine.jupyter import kernel_channel
from tests.engine.live import Machine, eventually, quickstart, random_moments, root
from tests.engine.places import SECRET, Places, places

pytestmark = pytest.mark.engine

FIVE = wire.Resources(cpu=1)


@pytest.fixture(scope="module")
def sources(outer: Machine) -> Iterator[Places]:
    with places() as served:
        yield served


@pytest.fixture(scope="module")
def machine(sources: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    config = tmp_path_factory.mktemp("data") / "notebookd.toml"
    config.write_text(sources.settings)
    with quickstart("--gpus", "2", "--config", str(config)) as made:
        yield made


@pytest.fixture
def live(machine: Machine) -> Iterator[Machine]:
    yield machine
    print(machine.log()[-6000:])
    machine.clean_up()


def ask(live: Machine, *volumes: str, gpu: bool = False, wait: bool = True) -> str:
    spec = wire.NotebookSpec(
        env=wire.NotebookEnv(editor_id="jupyterlab", framework_id="conda"),
        resources=wire.UNSET if gpu else FIVE,
        volumes=list(volumes),
    )
    notebook = live.client.create_notebook(spec).value.id
    live.made.append(notebook)
    if wait:
        live.await_state(notebook, "RUNNING")
    return notebook


async def run_cell(live: Machine, notebook: str, cell: str) -> str:
    """What a cell prints."""
    said = ""
    async with kernel_channel(live, notebook) as channel:
        header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "t", "session": "s",
                  "version": "5.3", "date": "2026-01-01T00:00:00Z"}  # fmt: skip
        content = {"code": cell, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        await channel.send_json(
            {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        )
        async for message in channel:
            body = json.loads(message.data)
            if body.get("parent_header", {}).get("msg_id") != header["msg_id"]:
                continue
            if body["msg_type"] == "stream":
                said += body["content"]["text"]
            elif body["msg_type"] == "error":
                raise AssertionError(body["content"])
            elif body["msg_type"] == "status" and body["content"]["execution_state"] == "idle":
                return said
    raise AssertionError("the kernel went away")


CELL = """
import os, pathlib
for folder in map(pathlib.Path, {writable!r}):
    (folder / "new.txt").write_text("new")
    if (folder / "change.txt").exists():
        (folder / "change.txt").write_text("changed")
        (folder / "delete.txt").unlink()
for folder in map(pathlib.Path, {readable!r}):
    try:
        (folder / "new.txt").write_text("new")
    except OSError as fault:
        print(fault.strerror)
print(sorted(os.listdir("/code")))
"""


async def test_each_volume_gives_back_what_its_permission_promises(live: Machine, sources: Places) -> None:
    old = {"change.txt": b"old", "delete.txt": b"old", "keep.txt": b"old"}
    for place in ("ro", "rw", "rwd"):
        for name, content in old.items():
            sources.bucket.write(f"lab/{place}/{name}", content)
    for name, content in old.items():
        (sources.shared / "sets" / name).write_bytes(content)
        root("chown", "notebookd:notebookd-svc", str(sources.shared / "sets" / name))
    head = sources.code.git("rev-parse", "HEAD")
    notebook = ask(
        live,
        "lab@S3/ro:/data/ro", "lab@S3/rw:/data/rw:rw", "lab@S3/rwd:/data/rwd:rwd", f"{sources.git_url}:/code:rw",
        "sets@DIR:/sets:rw", "standalone:/scratch", "standalone:/srv", "standalone:/workspace/deep/er",
    )  # fmt: skip
    live.execute(notebook, "touch", "/workspace/deep/beside", "/workspace/deep/er/within")
    assert live.execute(notebook, "ls", "-A", "/srv") == "", "the volume stands where the image has a folder, too"
    writable = ["/data/rw", "/data/rwd", "/code", "/sets", "/scratch"]
    said = await run_cell(live, notebook, CELL.format(writable=writable, readable=["/data/ro"]))
    assert "Read-only file system" in said
    assert "main.py" in said
    live.stop(notebook)
    read = sources.bucket.read
    assert read("lab/ro") == old
    assert read("lab/rw") == {**old, "change.txt": b"changed", "new.txt": b"new"}
    assert read("lab/rwd") == {"change.txt": b"changed", "keep.txt": b"old", "new.txt": b"new"}
    here = {each.name: each.read_bytes() for each in (sources.shared / "sets").iterdir()}
    assert here == {"change.txt": b"changed", "keep.txt": b"old", "new.txt": b"new"}
    assert sources.code.git("ls-remote", str(sources.code.bare), "trunk").split()[0] == head
    live.start(notebook)
    listed = live.execute(notebook, "sh", "-c", "ls /scratch; ls /code; cat /code/new.txt; echo; ls /data/rwd")
    assert listed.split() == ["main.py", "new.txt", "new", "change.txt", "keep.txt", "new.txt"]


def test_no_gpu_is_held_while_data_moves(live: Machine, sources: Places) -> None:
    sources.bucket.write("lab/big/blob", b"\0" * (32 << 20))
    notebook = ask(live, "lab@S3/big:/big:rw", gpu=True, wait=False)
    seen: set[tuple[str, bool]] = set()

    def look() -> str:
        seen.add((live.get(notebook).status.last_job_status.state, notebook in live.leases().values()))  # type: ignore[union-attr]
        return live.state(notebook)

    eventually(look, lambda state: state == "RUNNING")
    look()
    live.execute(notebook, "sh", "-c", "head -c 33554432 /dev/urandom > /big/blob")
    live.client.stop_notebook(notebook)
    eventually(look, lambda state: state == "STOPPED")
    states = {state for state, _ in seen}
    assert {"INITIALIZING", "FINALIZING"} <= states
    assert ("INITIALIZING", True) not in seen
    assert ("FINALIZING", True) not in seen
    assert ("RUNNING", True) in seen


def test_a_snapshot_has_what_was_deleted_since(live: Machine) -> None:
    notebook = ask(live)
    live.execute(notebook, "sh", "-c", "echo precious > /workspace/thesis.txt")
    live.stop(notebook)
    (backup,) = live.client.list_backups(notebook).value.items
    live.start(notebook)
    live.execute(notebook, "rm", "/workspace/thesis.txt")
    fork = live.client.fork_backup(notebook, backup.id).value.id
    live.made.append(fork)
    live.await_state(fork, "RUNNING")
    assert live.execute(fork, "cat", "/workspace/thesis.txt") == "precious\n"
    assert "no errors" in live.client.check_backups(notebook).value.said


def test_a_bucket_that_is_not_there_is_said_so(live: Machine) -> None:
    notebook = ask(live, "nowhere@S3:/d", wait=False)
    seen = live.await_state(notebook, "FAILED")
    assert seen.status.info.code == "DATASYNC_SOURCE_NOT_FOUND"
    assert "nowhere" in seen.status.info.message


def test_a_push_that_fails_can_be_made_good(live: Machine, sources: Places, tmp_path: Path) -> None:
    sources.bucket.write("lab/later/a", b"a")
    notebook = ask(live, "lab@S3/later:/later:rw")
    live.execute(notebook, "sh", "-c", "echo mine > /later/mine")
    back = tmp_path / "back"
    good = sources.rclone.read_text()
    sources.rclone.write_text(good.replace(f":{sources.bucket.port}", ":9"))
    try:
        live.client.stop_notebook(notebook)
        seen = live.await_state(notebook, "SYNC_FAILED", within_s=110)
        assert seen.status.info.code == "DATASYNC_UNREACHABLE"
        refused = live.ctl("start", notebook, "--no-wait")
        assert refused.returncode == 1
        assert "push-data" in refused.stderr
        assert "`notebookctl cp NOTEBOOK:/later .` reads it" in live.ctl("why", notebook).stdout
        read = live.ctl("cp", f"{notebook}:/later", str(back))
        assert read.returncode == 0, read.stderr
        assert {each.name: each.read_bytes() for each in back.iterdir()} == {"a": b"a", "mine": b"mine\n"}
    finally:
        sources.rclone.write_text(good)
    pushed = live.ctl("push-data", notebook)
    assert pushed.returncode == 0, pushed.stderr
    live.await_state(notebook, "STOPPED")
    assert sources.bucket.read("lab/later") == {"a": b"a", "mine": b"mine\n"}


def test_a_daemon_that_is_killed_does_not_cut_a_transfer(live: Machine, sources: Places) -> None:
    sources.bucket.write("lab/long/blob", b"\1" * (64 << 20))
    notebook = ask(live, "lab@S3/long:/long:rw", wait=False)
    eventually(lambda: movers_of(live, notebook), bool, what="a mover")
    before = movers_of(live, notebook)
    live.kill_daemon()
    assert movers_of(live, notebook) in (before, [])
    live.service("start", "daemon")
    live.await_state(notebook, "RUNNING")
    (sync,) = live.get(notebook).status.data_sync
    assert sync.status.state == "DONE"
    assert live.execute(notebook, "stat", "-c", "%s", "/long/blob").strip() == str(64 << 20)


@pytest.mark.parametrize("strikes", [2, pytest.param(30, marks=[pytest.mark.long, pytest.mark.timeout(1500)])])
def test_whatever_dies_in_the_middle_all_data_arrives(live: Machine, sources: Places, strikes: int) -> None:
    """Each strike kills the daemon or a mover, while data comes in or while it goes out."""
    moments = iter(random_moments(2 * strikes, 2.0, seed=20261123))
    for strike in range(strikes):
        place = f"lab/strike{strike}"
        came = {f"{number}.bin": bytes([number]) * 300_000 for number in range(20)}
        for name, content in came.items():
            sources.bucket.write(f"{place}/{name}", content)
        notebook = ask(live, f"{place.replace('lab/', 'lab@S3/')}:/data:rwd", wait=False)
        strike_at(live, notebook, next(moments), daemon=strike % 2 == 0)
        live.await_state(notebook, "RUNNING")
        change = (
            "rm /data/0.bin; for n in $(seq 1 9); do head -c 400000 /dev/zero > /data/$n.bin; done; sha256sum /data/*"
        )
        sums = live.execute(notebook, "sh", "-c", change)
        assert len(sums.splitlines()) == len(came) - 1
        live.client.stop_notebook(notebook)
        strike_at(live, notebook, next(moments), daemon=strike % 2 == 1)
        live.await_state(notebook, "STOPPED")
        there = sources.bucket.read(place)
        expected = {**came, **{f"{number}.bin": bytes(400_000) for number in range(1, 10)}}
        del expected["0.bin"]
        assert there == expected
        live.clean_up()


def strike_at(live: Machine, notebook: str, moment_s: float, *, daemon: bool) -> None:
    time.sleep(moment_s)
    if daemon:
        live.kill_daemon()
        live.service("start", "daemon")
        return
    for mover in movers_of(live, notebook):
        url = f"http://d/v4.0.0/libpod/containers/notebookd-mover-{mover}/kill?signal=KILL"
        root("curl", "--silent", "-X", "POST", "--unix-socket", str(live.engine), url)


def movers_of(live: Machine, notebook: str) -> list[str]:
    url = "http://d/v4.0.0/libpod/containers/json?all=true"
    rows = json.loads(root("curl", "--silent", "--fail", "--unix-socket", str(live.engine), url)) or []
    labels = [row["Labels"] or {} for row in rows]
    return [each["io.notebookd.sync"] for each in labels
            if each.get("io.notebookd.notebook") == notebook and "io.notebookd.sync" in each]  # fmt: skip


def test_credentials_are_nowhere(live: Machine, sources: Places) -> None:
    notebook = ask(live, "lab@S3/ro:/ro")
    live.stop(notebook)
    found = root("grep", "-rlF", SECRET, str(live.state_folder), str(live.run_folder), check=False)
    assert found == ""


def test_files_go_in_and_out_also_of_a_stopped_notebook(live: Machine, tmp_path: Path) -> None:
    notebook = ask(live)
    source = tmp_path / "a b\u00e4.txt"
    source.write_text("hello")
    assert live.ctl("cp", str(source), f"{notebook}:{source.name}").returncode == 0
    live.stop(notebook)
    back = live.ctl("cp", f"{notebook}:{source.name}", str(tmp_path / "back.txt"))
    assert back.returncode == 0, back.stderr
    assert (tmp_path / "back.txt").read_text() == "hello"
