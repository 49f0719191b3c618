# SPDX-License-Identifier: Apache-2.0
"""Everything that goes wrong with a remote, a network or a disk, made to happen."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from notebookd.mover.child import run_child
from notebookd.mover.faults import Side, code_of
from notebookd.mover.job import Places
from notebookd.mover.report import Code, Fault, scrub
from tests.mover.conftest import MakeLab, Remotes
from tests.mover.lab import Lab, kill_session
from tests.mover.proxies import Wire, judged

SECRETS = ("tell-nobody", "AKIATEST", "right")
BIG = bytes(range(256)) * 1600


def assert_fails(said: dict[str, Any], code: str) -> None:
    assert (said["ok"], said["code"]) == (False, f"DATASYNC_{code}"), said
    assert said["message"]
    assert not any(secret in json.dumps(said) for secret in SECRETS)


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def wire(remotes: Remotes) -> Iterator[Wire]:
    wire = Wire(remotes.s3_port)
    yield wire
    wire.close()


@pytest.fixture
def wired(make_lab: MakeLab, remotes: Remotes, wire: Wire) -> Lab:
    """A lab at S3, behind a wire."""
    lab = make_lab("s3", config=remotes.config.replace(f":{remotes.s3_port}", f":{wire.port}"))
    lab.fields["retries"] = 1
    return lab


def test_a_container_that_is_not_there(any_lab: Lab) -> None:
    any_lab.path = "nowhere-at-all/pre"
    assert_fails(any_lab.pull(), "SOURCE_NOT_FOUND")


@pytest.mark.parametrize("task", ["pull", "push", "list"])
def test_a_container_that_is_gone(lab: Lab, task: str) -> None:
    lab.pull()
    lab.edit("x", "x")
    lab.path = "nowhere-at-all/pre"
    assert_fails(lab.run(task, permission="RWD"), "SOURCE_NOT_FOUND")
    assert lab.local_files() == {"x": b"x"}


def test_a_remote_that_is_not_configured(lab: Lab) -> None:
    lab.remote = "unheard-of"
    assert_fails(lab.pull(), "INVALID_SOURCE")


@pytest.mark.parametrize("path", ["../x", "a/../../b", "a/./b"])
def test_a_path_that_climbs(disk_lab: Lab, path: str) -> None:
    disk_lab.path = path
    assert_fails(disk_lab.pull(), "INVALID_SOURCE")


@pytest.mark.parametrize("remote", ["s3,env_auth=true", ":local", "-x", "s3:", ""])
def test_a_remote_whose_name_is_more_than_a_name(lab: Lab, remote: str) -> None:
    lab.remote = remote
    assert_fails(lab.pull(), "INVALID_SOURCE")


def test_wrong_credentials_at_webdav(make_lab: MakeLab, remotes: Remotes) -> None:
    lab = make_lab("dav", config=remotes.config.replace("user = u", "user = someone-else"))
    assert_fails(lab.pull(), "ACCESS_DENIED")


@pytest.mark.parametrize("task", ["pull", "push"])
def test_wrong_credentials_at_s3(make_lab: MakeLab, remotes: Remotes, task: str) -> None:
    denied = b"<Error><Code>InvalidAccessKeyId</Code><Message>no key AKIATEST</Message></Error>"
    with judged(remotes.s3_port, lambda _, path: (403, denied) if locked else None) as port:
        locked = False
        lab = make_lab("s3", config=remotes.config.replace(f":{remotes.s3_port}", f":{port}"))
        lab.pull()
        lab.edit("x", "x")
        locked = True
        assert_fails(lab.run(task, permission="RW"), "ACCESS_DENIED")


def test_a_read_only_key_fails_the_push_and_nothing_else(make_lab: MakeLab, remotes: Remotes) -> None:
    denied = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    with judged(remotes.s3_port, lambda method, _: (403, denied) if method == "PUT" else None) as port:
        lab = make_lab("s3", config=remotes.config.replace(f":{remotes.s3_port}", f":{port}"))
        lab.fields["retries"] = 1
        lab.put({"a": "1"})
        assert lab.pull()["ok"]
        lab.edit("a", "2 and more")
        assert_fails(lab.push(), "ACCESS_DENIED")
    assert lab.remote_files() == {"a": b"1"}


@pytest.mark.parametrize("task", ["pull", "push"])
def test_nobody_answers(wired: Lab, wire: Wire, task: str) -> None:
    wired.pull()
    wired.edit("x", "x")
    wire.cut_after(0)
    begun = time.monotonic()
    assert_fails(wired.run(task, permission="RW"), "UNREACHABLE")
    assert time.monotonic() - begun < 60
    assert wired.local_files() == {"x": b"x"}


def test_a_pull_that_is_cut_goes_on_where_it_was(wired: Lab, wire: Wire) -> None:
    wired.put({f"f{number}": BIG for number in range(10)})
    wire.cut_after(len(BIG) * 7)
    said = wired.pull()
    assert_fails(said, "UNREACHABLE")
    assert wired.local_files() == {}
    assert not (wired.volume / "manifest.json").exists()
    wire.mend()
    said = wired.pull()
    assert said["ok"]
    assert said["progress"]["transferredBytes"] <= 7 * len(BIG), "what was whole was not fetched again"
    assert wired.local_files() == {f"f{number}": BIG for number in range(10)}


def test_a_push_that_is_cut_goes_on_where_it_was(wired: Lab, wire: Wire) -> None:
    wired.put({"old": "old"})
    wired.pull()
    for number in range(10):
        wired.edit(f"f{number}", BIG)
    (wired.data / "old").unlink()
    wire.cut_after(len(BIG) * 7)
    assert_fails(wired.push("RWD"), "UNREACHABLE")
    there = wired.remote_files()
    assert there.pop("old") == b"old"
    assert 0 < len(there) < 10
    assert set(there.values()) == {BIG}, "nothing is there in part"
    wire.mend()
    said = wired.push("RWD")
    assert said["ok"], said
    assert said["progress"]["transferredBytes"] == (10 - len(there)) * len(BIG)
    assert wired.remote_files() == {f"f{number}": BIG for number in range(10)}


def test_a_remote_that_is_full(make_lab: MakeLab, remotes: Remotes, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "size=1m") as disk:
        config = remotes.config.replace(str(remotes.folders["disk"]), str(disk))
        lab = make_lab("disk", config=config)
        (disk / lab.path).mkdir(parents=True)
        assert lab.pull()["ok"]
        lab.edit("fits", b"x" * 1000)
        lab.edit("too big", BIG * 4)
        assert_fails(lab.push(), "REMOTE_FULL")
        assert not (disk / lab.path / "too big").exists()
        (lab.data / "too big").unlink()
        assert lab.push()["ok"], "it converges once there is room"
        assert [each.name for each in (disk / lab.path).iterdir()] == ["fits"]


def test_a_quota_at_webdav(make_lab: MakeLab, remotes: Remotes) -> None:
    with judged(remotes.dav_port, lambda method, _: (507, b"") if method == "PUT" else None) as port:
        lab = make_lab("dav", config=remotes.config.replace(f":{remotes.dav_port}", f":{port}"))
        lab.fields["retries"] = 1
        lab.pull()
        lab.edit("x", "x")
        assert_fails(lab.push(), "REMOTE_FULL")


def test_the_local_disk_is_too_small_for_what_is_to_come(lab: Lab) -> None:
    lab.put({"big": BIG * 4})
    with small_disk(lab.volume, "size=1m"):
        assert_fails(lab.pull(), "DISK_FULL")
        assert lab.local_files() == {}


def test_the_local_disk_is_full_in_the_middle(lab: Lab) -> None:
    lab.put({f"f{number}": "x" for number in range(40)})
    with small_disk(lab.volume, "size=1m,nr_inodes=30"):
        assert_fails(lab.pull(), "DISK_FULL")
        assert lab.local_files() == {}
        assert list((lab.volume / "staging").iterdir()) == [], "what cannot be used does not fill the disk"


def test_more_than_a_volume_may_hold(lab: Lab) -> None:
    lab.put({"a": "12345"})
    refused = lab.pull(max_bytes=4)
    assert_fails(refused, "TOO_LARGE")
    assert refused["message"] == "5 B are to come, more than the 4 B that may"
    assert lab.pull(max_bytes=5)["ok"]


def test_a_file_that_never_rests_is_told(disk_lab: Lab) -> None:
    disk_lab.pull()
    disk_lab.edit("still", "still")
    disk_lab.edit("growing", BIG)
    stop = threading.Event()

    def grow() -> None:
        with (disk_lab.data / "growing").open("ab", buffering=0) as file:
            while not stop.wait(0.002):
                file.write(b"more")

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        said = disk_lab.push()
    finally:
        stop.set()
        writer.join()
    assert_fails(said, "CHANGED")
    assert "growing" in said["message"]
    assert disk_lab.remote_files() == {"still": b"still"}
    assert disk_lab.push()["ok"]
    assert disk_lab.remote_files() == disk_lab.local_files()


def test_a_swap_of_links_under_a_push_leaks_nothing(disk_lab: Lab) -> None:
    """The notebook exchanges a folder for a link to the credentials as fast as it can."""
    disk_lab.pull()
    for number in range(50):
        disk_lab.edit(f"d/rclone.conf/{number}", "harmless")
        disk_lab.edit(f"f{number}", "harmless")
    stop, swaps = threading.Event(), list[int]()

    def swap() -> None:
        data, secrets = disk_lab.data, disk_lab.folder / "secrets"
        while not stop.is_set():
            (data / "d").rename(data / "aside")
            (data / "d").symlink_to(secrets)
            (data / "f1").unlink(missing_ok=True)
            (data / "f1").symlink_to(secrets / "rclone.conf")
            (data / "d").unlink()
            (data / "aside").rename(data / "d")
            swaps.append(1)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for round_ in range(3):
            disk_lab.edit("again", str(round_))
            before = len(swaps)
            disk_lab.push("RWD")
            assert len(swaps) > before + 10, "it was swapped under the push"
    finally:
        stop.set()
        swapper.join()
    assert disk_lab.remote_files()["again"] == b"2", "the pushes went on"
    assert not any(b"tell-nobody" in content for content in disk_lab.remote_files().values())
    assert set(disk_lab.remote_files().values()) <= {b"harmless", b"0", b"1", b"2"}


def test_an_interruption_stops_everything_and_leaves_whole_files(wired: Lab, wire: Wire) -> None:
    wired.put({f"f{number}": BIG for number in range(4)})
    running = wired.start("pull", bandwidth=len(BIG) // 2)
    progress = wired.folder / "job" / "progress.json"
    deadline = time.monotonic() + 30
    while not progress.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    running.terminate()
    _, errors = running.communicate(timeout=10)
    assert (running.returncode, errors) == (143, b"")
    assert not (wired.folder / "job" / "result.json").exists()
    assert set(wired.local_files().values()) <= {BIG}
    kill_session(running)
    assert wired.pull()["ok"]


def test_one_mover_waits_for_another_in_the_same_folder(lab: Lab) -> None:
    lab.put({"a": "1"})
    first = lab.start("pull", cache=True)
    second = lab.start("pull", cache=True)
    for each in (first, second):
        assert each.communicate(timeout=30) == (None, b"")
        assert each.returncode == 0
    assert len(list((lab.volume / "versions").iterdir())) == 1


@pytest.mark.parametrize(
    ("text", "side", "code"),
    [
        ("write /volume/x: no space left on device", Side.LOCAL, Code.DISK_FULL),
        ("write /srv/x: no space left on device", Side.REMOTE, Code.REMOTE_FULL),
        ("Insufficient Storage: 507 Insufficient Storage", Side.REMOTE, Code.REMOTE_FULL),
        (
            "XMinioStorageFull: Storage backend has reached its minimum free drive threshold",
            Side.REMOTE,
            Code.REMOTE_FULL,
        ),
        ("AccessDenied: Access Denied\n\tstatus code: 403", Side.REMOTE, Code.ACCESS_DENIED),
        ("NoSuchBucket: The specified bucket does not exist", Side.REMOTE, Code.SOURCE_NOT_FOUND),
        ('Get "https://x/507/AccessDenied": dial tcp: lookup x: no such host', Side.REMOTE, Code.UNREACHABLE),
        ("can't copy - source file is being updated (mod time changed ...)", Side.REMOTE, Code.CHANGED),
        ("net/http: timeout awaiting response headers", Side.REMOTE, Code.UNREACHABLE),
        ("something else", Side.REMOTE, None),
    ],
)
def test_what_rclone_says_has_a_code(text: str, side: Side, code: Code | None) -> None:
    assert code_of(text, side) is code


@pytest.mark.parametrize(
    "text",
    [
        "Get https://me:hidden@host/x: refused",
        "Get https://host/x?X-Amz-Signature=hidden&X-Amz-Date=1: refused",
        "secret_access_key = hidden",
        "Authorization: Bearer hidden",
        '{"token":"hidden","x":1}',
        "password=hidden;",
    ],
)
def test_messages_carry_no_credentials(text: str) -> None:
    assert "hidden" not in scrub(text)


def test_a_job_that_is_none_is_told(lab: Lab) -> None:
    assert_fails(lab.run("no-such-task"), "ERROR")
    assert_fails(lab.run("pull", path=["x"]), "ERROR")
    assert_fails(lab.run("pull", bandwidth=-1), "ERROR")


def test_a_program_that_says_nothing_is_ended_with_its_children(tmp_path: Path) -> None:
    script = f"sleep 1000 & echo $! > {tmp_path}/child; wait"
    with pytest.raises(Fault) as told:
        run_child(["sh", "-c", script], env={"PATH": "/usr/bin:/bin"}, silence_s=0.3)
    assert told.value.code is Code.TIMEOUT
    state = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    deadline = time.monotonic() + 10  # it was sent SIGKILL; a busy machine takes a moment over it
    while (lives := _lives(state)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not lives


def _lives(state: Path) -> bool:
    try:
        return state.read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def test_places_are_known_by_name() -> None:
    assert Places.of(["volume=/a b"]).volume == Path("/a b")
    with pytest.raises(ValueError, match="no such place"):
        Places.of(["home=/x"])
