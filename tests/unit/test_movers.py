# SPDX-License-Identifier: Apache-2.0
"""What a mover gets to see, and what is believed of what it says."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from notebookd.adapters.movers.folder import begin, read_progress, read_result
from notebookd.adapters.movers.jobs import Job, Jobs
from notebookd.adapters.movers.remotes import cut_remote
from notebookd.adapters.movers.rootfs import ensure_rootfs
from notebookd.config import Config, parse_config
from notebookd.domain.attached import Attached, Place
from notebookd.domain.data_plan import USERS_FAULT
from notebookd.domain.ids import NotebookId
from notebookd.domain.syncing import Progress
from notebookd.domain.volumes import parse_volume
from notebookd.errors import VolumeFault
from notebookd.mover import report as mover
from notebookd.ports.engine import Network
from notebookd.ports.movers import Pull, Push, RestoreSnapshot, TakeSnapshot

NOTEBOOK = NotebookId("5a1c7e1e-0000-4000-8000-000000000001")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
RCLONE = """
# the lab's
[s3]
type = s3
access_key_id = KEY
secret_access_key = a = b ; c
[sealed]
type = crypt
remote = s3:bucket/below
password = SEALED
[both]
type = union
upstreams = sealed:x s3:y:ro
[combined]
type = combine
upstreams = one=s3:y "two=sealed:"
[far]
type = sftp
key_file = {folder}/key
known_hosts_file = {folder}/hosts
[here]
type = local
[alias]
type = alias
remote = /srv/data
[round]
type = alias
remote = round:x
"""


@pytest.fixture
def rclone(tmp_path: Path) -> Path:
    (tmp_path / "key").write_text("PRIVATE KEY")
    (tmp_path / "hosts").write_text("far ssh-ed25519 AAAA")
    file = tmp_path / "rclone.conf"
    file.write_text(RCLONE.format(folder=tmp_path))
    return file


@pytest.fixture
def config(tmp_path: Path, rclone: Path) -> Config:
    return configured(tmp_path, rclone)


def configured(tmp_path: Path, rclone: Path, **more: Any) -> Config:
    stores = [
        {"alias": "lab", "type": "rclone", "remote": "s3", "config": str(rclone)},
        {"alias": "disk", "path": str(tmp_path)},
    ]
    paths = {"state": str(tmp_path / "state"), "runtime": str(tmp_path / "run")}
    return parse_config({"paths": paths, "datastore": stores, **more}, source=None)


# the administrator's remotes


@pytest.mark.parametrize(
    ("remote", "sections"),
    [
        ("s3", {"s3"}),
        ("sealed", {"sealed", "s3"}),
        ("both", {"both", "sealed", "s3"}),
        ("combined", {"combined", "sealed", "s3"}),
        ("round", {"round"}),
    ],
)
def test_mover_gets_the_remote_and_what_it_stands_on(rclone: Path, remote: str, sections: set[str]) -> None:
    (text,) = cut_remote(rclone, remote).values()
    assert {line[1:-1] for line in text.decode().splitlines() if line.startswith("[")} == sections
    assert (b"secret_access_key = a = b ; c" in text) == ("s3" in sections)


def test_files_that_a_remote_names_come_along(rclone: Path) -> None:
    files = cut_remote(rclone, "far")
    text = files.pop("rclone.conf").decode()
    assert sorted(files.values()) == [b"PRIVATE KEY", b"far ssh-ed25519 AAAA"]
    for name, content in files.items():
        key = "key_file" if content == b"PRIVATE KEY" else "known_hosts_file"
        assert f"{key} = /secrets/{name}" in text


@pytest.mark.parametrize(
    ("text", "remote", "words"),
    [
        (RCLONE, "absent", "there is none of that name"),
        (RCLONE, "here", "a folder of this machine"),
        (RCLONE, "alias", "a folder of this machine"),
        (RCLONE.replace("hosts\n", "absent\n"), "far", "No such file"),
        ("RCLONE_ENCRYPT_V0:\nabc", "s3", "encrypted"),
        ("secret_without_section = x", "s3", "no configuration of rclone"),
        ("[s3]\nwhatever", "s3", "no configuration of rclone"),
    ],
)
def test_remote_that_cannot_be_used_is_told_without_secrets(rclone: Path, text: str, remote: str, words: str) -> None:
    rclone.write_text(text.replace("{folder}", str(rclone.parent)))
    with pytest.raises(VolumeFault, match=words) as caught:
        cut_remote(rclone, remote)
    assert caught.value.info_code == "DATASYNC_INVALID_SOURCE"
    assert "secret" not in str(caught.value)


def test_configuration_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(VolumeFault, match="No such file"):
        cut_remote(tmp_path / "absent", "s3")


# jobs


def test_pull_sees_its_volume_and_one_remote(config: Config) -> None:
    volume = parse_volume("bucket@lab/a/b:/data:rw")
    job = Jobs(config).of(Pull(notebook_id=NOTEBOOK, volume_id="v1", volume=volume), now=NOW)
    assert dict(job.told) == {
        "task": "pull", "remote": "s3", "path": "bucket/a/b", "cache": False, "reset": False, "notebook": NOTEBOOK,
        "bandwidth": None, "max_bytes": None, "max_files": 1_000_000, "writable": True,
    }  # fmt: skip
    assert [(each.source, each.target) for each in job.mounts] == [(str(config.paths.copy(NOTEBOOK, "v1")), "/volume")]
    assert (job.network, list(job.secrets)) == (Network.HOST, ["rclone.conf"])


def test_git_is_cloned_over_a_network_of_its_own_without_secrets(config: Config) -> None:
    volume = parse_volume("https://git.example/a.git:/data:rw:cache")
    job = Jobs(config).of(Pull(notebook_id=NOTEBOOK, volume_id="v1", volume=volume), now=NOW)
    assert (job.network, dict(job.secrets)) == (Network.PRIVATE, {})
    assert (job.told["task"], job.told["url"], job.told["schemes"]) == (
        "git-pull",
        "https://git.example/a.git",
        ["https"],
    )
    assert job.mounts[0].source == str(config.paths.shared("https://git.example/a.git"))


def test_folder_of_the_host_is_not_carried(config: Config) -> None:
    for text in ("@disk:/data:ro:cache", "a@disk:/data:rw"):
        with pytest.raises(VolumeFault, match="mounted as it is"):
            Jobs(config).of(Pull(notebook_id=NOTEBOOK, volume_id="v1", volume=parse_volume(text)), now=NOW)


def test_push_of_a_copy_that_is_gone_is_refused(config: Config) -> None:
    volume = parse_volume("bucket@lab:/data:rw")
    with pytest.raises(VolumeFault) as caught:
        Jobs(config).of(Push(notebook_id=NOTEBOOK, volume_id="v1", volume=volume), now=NOW)
    assert caught.value.info_code == "DATASYNC_SOURCE_NOT_FOUND"


def test_snapshot_sees_the_workspace_read_only_and_no_network(config: Config) -> None:
    workspace = config.paths.workspaces / NOTEBOOK
    workspace.mkdir(parents=True)
    job = Jobs(config).of(TakeSnapshot(notebook_id=NOTEBOOK), now=NOW)
    mounts = {each.target: each for each in job.mounts}
    assert (mounts["/workspace"].source, mounts["/workspace"].read_only) == (str(workspace), True)
    assert mounts["/repository"].source == str(config.paths.snapshots / NOTEBOOK)
    assert (job.network, job.told["keep"], list(job.secrets)) == (Network.NONE, 7, ["restic-password"])


def test_whoever_reads_of_a_volume_sees_its_files_alone_read_only_and_no_network(config: Config) -> None:
    volume = Attached(id="v1", volume=parse_volume("bucket@lab:/data:rwd"), place=Place.COPY)
    folder = config.paths.copy(NOTEBOOK, "v1") / "data"
    folder.parent.mkdir(parents=True)
    folder.symlink_to(config.paths.state)
    with pytest.raises(VolumeFault, match="a link"):
        Jobs(config).read_archive(NOTEBOOK, "x", volume)
    folder.unlink()
    folder.mkdir()
    job = Jobs(config).read_archive(NOTEBOOK, "x", volume)
    assert job.told == {"task": "archive-read", "path": "x", "root": "/data"}
    assert [(each.source, each.target, each.read_only) for each in job.mounts] == [(str(folder), "/workspace", True)]
    assert (job.network, dict(job.secrets)) == (Network.NONE, {})


def test_password_of_snapshots_is_made_once_and_is_its_accounts_alone(config: Config) -> None:
    (config.paths.workspaces / NOTEBOOK).mkdir(parents=True)
    first, again = (Jobs(config).of(TakeSnapshot(notebook_id=NOTEBOOK), now=NOW) for _ in range(2))
    assert first.secrets == again.secrets
    assert len(first.secrets["restic-password"]) >= 32
    assert "restic-password" not in json.dumps(first.told)
    (file,) = config.paths.secrets.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(config.paths.secrets.stat().st_mode) == 0o700


def test_snapshots_on_a_disk_that_is_not_there_are_refused(tmp_path: Path, rclone: Path) -> None:
    config = configured(tmp_path, rclone, snapshots={"repository": str(tmp_path / "disk" / "snapshots")})
    (config.paths.workspaces / NOTEBOOK).mkdir(parents=True)
    with pytest.raises(VolumeFault, match="cannot use the repository"):
        Jobs(config).of(TakeSnapshot(notebook_id=NOTEBOOK), now=NOW)
    assert not (tmp_path / "disk").exists()


def test_snapshots_beyond_rclone_have_the_remote_they_are_at(tmp_path: Path, rclone: Path) -> None:
    config = configured(tmp_path, rclone, snapshots={"repository": "sealed:backup/", "config": str(rclone)})
    jobs = Jobs(config)
    job = jobs.of(RestoreSnapshot(notebook_id=NOTEBOOK, origin=NotebookId("other"), snapshot="abc"), now=NOW)
    assert job.told == {"task": "restore", "repository": "rclone:sealed:backup/other", "snapshot": "abc"}
    assert (job.network, set(job.secrets)) == (Network.HOST, {"rclone.conf", "restic-password"})
    assert [each.target for each in job.mounts] == ["/workspace"]
    assert jobs.purge(NOTEBOOK).told == {"task": "purge", "remote": "sealed", "path": f"backup/{NOTEBOOK}"}


# what it says


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "m1"
    begin(folder, Job(told={"task": "measure"}, secrets={"rclone.conf": b"SECRET"}))
    return folder


def test_mover_that_is_begun_has_said_nothing(folder: Path) -> None:
    assert read_result(folder) is None
    assert read_progress(folder).progress == Progress()
    assert json.loads((folder / "job" / "job.json").read_text()) == {"task": "measure"}
    for each in (folder, folder / "job", folder / "secrets"):
        assert stat.S_IMODE(each.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "secrets" / "rclone.conf").stat().st_mode) == 0o600


def test_mover_begun_again_has_forgotten_what_it_said(folder: Path) -> None:
    (folder / "job" / "result.json").write_text('{"ok": true, "code": "DATASYNC_DONE"}')
    begin(folder, Job(told={"task": "measure"}))
    assert read_result(folder) is None
    assert list((folder / "secrets").iterdir()) == []


def test_every_number_that_a_mover_says_arrives(folder: Path) -> None:
    """The program in the container has shapes of its own: it imports nothing of the rest."""
    numbers = {each.name: number for number, each in enumerate(fields(Progress), start=1)}
    reporter = mover.Reporter(folder / "job")
    reporter.progress = mover.Progress(**numbers)
    reporter.tick()
    assert read_progress(folder).progress == Progress(**numbers)


def test_a_users_fault_is_one_that_a_mover_can_name() -> None:
    assert set(mover.Code) >= USERS_FAULT


def test_result_is_read(folder: Path) -> None:
    said = {
        "ok": False, "code": "DATASYNC_INCOMPLETE", "message": "two\nfailed", "more": 1,
        "progress": {"total": 3, "failed": 2, "totalBytes": 9, "transferredBytes": 4},
        "facts": {"version": "a", "bytes": 1},
        "objects": [{"path": "a", "size": 1, "modified": "x", "folder": False}],
    }  # fmt: skip
    (folder / "job" / "result.json").write_text(json.dumps(said))
    result = read_result(folder)
    assert result is not None
    report, objects = result
    assert (report.over, report.ok, report.code, report.message) == (True, False, "DATASYNC_INCOMPLETE", "two failed")
    assert report.progress == Progress(total=3, failed=2, total_bytes=9, transferred_bytes=4)
    assert report.facts == {"version": "a", "bytes": 1}
    assert [(each.path, each.size_bytes) for each in objects] == [("a", 1)]


@pytest.mark.parametrize(
    "make",
    [
        lambda file: file.write_text("{"),
        lambda file: file.write_text('{"ok": "yes"}'),
        lambda file: file.write_text('{"ok": true, "progress": {"total": -1}}'),
        lambda file: file.write_text('{"ok": true, "facts": {"bytes": {}}}'),
        lambda file: file.write_bytes(b'{"ok": true, "message": "\xff"}'),
        lambda file: file.mkdir(),
        lambda file: file.symlink_to("/etc/passwd"),
        os.mkfifo,
    ],
)
def test_odd_result_is_a_failure_and_nothing_worse(folder: Path, make: Callable[[Path], object]) -> None:
    make(folder / "job" / "result.json")
    make(folder / "job" / "progress.json")
    result = read_result(folder)
    assert result is not None
    assert (result[0].ok, result[0].code) == (False, "DATASYNC_ERROR")
    assert read_progress(folder).progress == Progress()


def test_strange_code_is_no_code(folder: Path) -> None:
    (folder / "job" / "result.json").write_text('{"ok": false, "code": "JOB_RUNNING"}')
    result = read_result(folder)
    assert result is not None
    assert result[0].code == "DATASYNC_ERROR"


def test_rootfs_is_made_and_made_good_again(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        ensure_rootfs(tmp_path / "root")
        (tmp_path / "root" / "job").rmdir()
        ensure_rootfs(tmp_path / "root")
    finally:
        os.umask(before)
    for name in ("job", "volume", "secrets", "usr", "etc/ssl/certs", "program/notebookd/mover"):
        assert stat.S_IMODE((tmp_path / "root" / name).stat().st_mode) == 0o755
    assert (tmp_path / "root" / "bin").readlink() == Path("usr/bin")
    assert stat.S_IMODE((tmp_path / "root" / "etc" / "passwd").stat().st_mode) == 0o644
