# SPDX-License-Identifier: Apache-2.0
"""What the volumes port promises, on folders of a test."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from notebookd import nofollow
from notebookd.adapters.datastores import in_time
from notebookd.adapters.volumes import LocalVolumes, ask_for
from notebookd.config import Config, parse_config
from notebookd.domain.attached import Attached, Place, place_of
from notebookd.domain.ids import NotebookId
from notebookd.domain.volumes import parse_volume, volume_id
from notebookd.errors import VolumeFault

NOTEBOOK = NotebookId("5a1c7e1e-0000-4000-8000-000000000001")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    (folder / "team" / "images" / "2026").mkdir(parents=True)
    return folder


@pytest.fixture
def config(tmp_path: Path, store: Path) -> Config:
    paths = {"state": str(tmp_path / "state"), "runtime": str(tmp_path / "run")}
    (tmp_path / "state").mkdir()
    stores = [{"alias": "lab", "path": str(store)}, {"alias": "all", "path": str(tmp_path)}]
    engine = {"socket": str(tmp_path / "engine" / "engine.sock")}
    return parse_config({"paths": paths, "datastore": stores, "engine": engine}, source=None)


@pytest.fixture
def volumes(config: Config) -> LocalVolumes:
    return LocalVolumes(config)


def attached(text: str, *, version: str | None = None) -> Attached:
    volume = parse_volume(text)
    place = place_of(volume, {"lab": True, "all": True, "gone": True})
    return Attached(id=volume_id(NOTEBOOK, volume), volume=volume, place=place, version=version)


async def refused(volumes: LocalVolumes, text: str) -> str:
    with pytest.raises(VolumeFault, match="cannot mount") as caught:
        await volumes.mounts(NOTEBOOK, [attached(text)])
    return caught.value.info_code


# folders of datastores


@pytest.mark.parametrize(
    ("text", "below", "read_only"),
    [
        ("@lab:/data", (), True),
        ("team@lab:/data", ("team",), True),
        ("team@lab/images/2026:/data:rw", ("team", "images", "2026"), False),
        ("@lab/team/images:/data:rwd", ("team", "images"), False),
    ],
)
async def test_folder_of_a_datastore_is_mounted_as_it_is(
    volumes: LocalVolumes, store: Path, text: str, below: tuple[str, ...], read_only: bool
) -> None:
    (mount,) = await volumes.mounts(NOTEBOOK, [attached(text)])
    folder = store.joinpath(*below)
    assert (mount.source, mount.target, mount.read_only) == (str(folder), "/data", read_only)
    assert mount.identity == nofollow.identity_of(folder)


async def test_missing_folder_is_told(volumes: LocalVolumes) -> None:
    assert await refused(volumes, "nobody@lab:/data") == "DATASYNC_SOURCE_NOT_FOUND"


async def test_datastore_that_is_gone_from_the_configuration_is_told(volumes: LocalVolumes) -> None:
    assert await refused(volumes, "team@gone:/data") == "DATASYNC_INVALID_SOURCE"


@pytest.mark.parametrize("where", ["team", "team/images"])
async def test_link_on_the_way_is_refused(volumes: LocalVolumes, store: Path, tmp_path: Path, where: str) -> None:
    (tmp_path / "secret" / "images" / "2026").mkdir(parents=True)
    away = store / where
    away.rename(store / "away")
    away.symlink_to(tmp_path / "secret" / Path(where).relative_to("team"))
    assert await refused(volumes, "team@lab/images:/data") == "DATASYNC_INVALID_SOURCE"


@pytest.mark.parametrize("kind", ["file", "fifo", "link"])
async def test_what_is_no_folder_is_refused(volumes: LocalVolumes, store: Path, kind: str) -> None:
    odd = store / "odd"
    if kind == "file":
        odd.write_text("x")
    elif kind == "fifo":
        os.mkfifo(odd)
    else:
        odd.symlink_to("team")
    assert await refused(volumes, "odd@lab:/data") == "DATASYNC_INVALID_SOURCE"
    assert await refused(volumes, "odd@lab/below:/data") == "DATASYNC_INVALID_SOURCE"


@pytest.mark.parametrize("text", ["@all:/data", "state@all:/data", "state@all/workspaces:/data", "run@all:/data"])
async def test_own_files_are_nobodys_volume(volumes: LocalVolumes, tmp_path: Path, text: str) -> None:
    (tmp_path / "state" / "workspaces").mkdir()
    (tmp_path / "run").mkdir()
    assert await refused(volumes, text) == "DATASYNC_INVALID_SOURCE"


@contextmanager
def somebody(folder: Path) -> Iterator[None]:
    """Look as an account that is not root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("mode", "text", "code"),
    [
        (0o755, "team@lab:/data", None),
        (0o711, "team@lab:/data", "DATASYNC_ACCESS_DENIED"),
        (0o744, "team@lab:/data", "DATASYNC_ACCESS_DENIED"),
        (0o711, "team@lab/images:/data", None),
        (0o700, "team@lab/images:/data", "DATASYNC_ACCESS_DENIED"),
        (0o755, "team@lab:/data:rw", "DATASYNC_ACCESS_DENIED"),
        (0o777, "team@lab:/data:rw", None),
    ],
)
async def test_folder_that_the_account_may_not_use_is_refused(mode: int, text: str, code: str | None) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "team" / "images").mkdir(parents=True)
        (folder / "team").chmod(mode if os.geteuid() == 0 else (mode & 0o7) * 0o111)
        volumes = LocalVolumes(parse_config({"datastore": [{"alias": "lab", "path": name}]}, source=None))
        with somebody(folder):
            if code is None:
                await volumes.mounts(NOTEBOOK, [attached(text)])
            else:
                assert await refused(volumes, text) == code
        (folder / "team").chmod(0o755)


# copies, clones, scratch


@pytest.mark.parametrize(
    ("text", "read_only"),
    [("team@s3:/data", True), ("team@s3:/data:rwd", False), ("https://a.example/b.git:/data", True)],
)
async def test_copy_is_mounted_without_what_lies_beside_it(
    volumes: LocalVolumes, config: Config, text: str, read_only: bool
) -> None:
    each = attached(text)
    with pytest.raises(VolumeFault):
        await volumes.mounts(NOTEBOOK, [each])
    folder = config.paths.copy(NOTEBOOK, each.id)
    (folder / "data").mkdir(parents=True)
    (mount,) = await volumes.mounts(NOTEBOOK, [each])
    assert (mount.source, mount.target, mount.read_only) == (str(folder / "data"), "/data", read_only)
    assert mount.identity == nofollow.identity_of(folder / "data")


async def test_scratch_is_empty_at_each_start(volumes: LocalVolumes) -> None:
    each = attached("standalone:/scratch")
    await volumes.prepare(NOTEBOOK, [each], now=NOW)
    (mount,) = await volumes.mounts(NOTEBOOK, [each])
    assert not mount.read_only
    (Path(mount.source) / "folder").mkdir()
    (Path(mount.source) / "folder" / "file").write_text("x")
    await volumes.prepare(NOTEBOOK, [each], now=NOW)
    assert list(Path(mount.source).iterdir()) == []


async def test_mount_point_in_the_workspace_belongs_to_the_account(volumes: LocalVolumes, config: Config) -> None:
    workspace = config.paths.workspaces / NOTEBOOK
    workspace.mkdir(parents=True)
    (workspace / "there").mkdir()
    for path in ("deep/er/scratch", "there/it"):
        each = attached(f"standalone:/workspace/{path}")
        await volumes.prepare(NOTEBOOK, [each], now=NOW)
        for _ in range(2):
            await volumes.mounts(NOTEBOOK, [each])
        assert (workspace / path).is_dir()
        assert (workspace / path).stat().st_uid == workspace.stat().st_uid


@pytest.mark.parametrize("path", ["deep/scratch", "deep"])
@pytest.mark.parametrize("kind", ["link", "file"])
async def test_what_is_in_the_way_of_a_mount_point_is_named(
    volumes: LocalVolumes, config: Config, tmp_path: Path, path: str, kind: str
) -> None:
    workspace = config.paths.workspaces / NOTEBOOK
    workspace.mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    if kind == "link":
        (workspace / "deep").symlink_to(tmp_path / "outside")
    else:
        (workspace / "deep").write_text("x")
    each = attached(f"standalone:/workspace/{path}")
    await volumes.prepare(NOTEBOOK, [each], now=NOW)
    with pytest.raises(VolumeFault, match="'deep' is a file or link in the workspace") as caught:
        await volumes.mounts(NOTEBOOK, [each])
    assert caught.value.info_code == "DATASYNC_INVALID_SOURCE"
    assert list((tmp_path / "outside").iterdir()) == []


async def test_discard_removes_what_is_not_kept_and_nothing_outside(
    volumes: LocalVolumes, config: Config, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("x")
    kept, gone, scratch = attached("a@s3:/a"), attached("b@s3:/b"), attached("standalone:/c")
    for each in (kept, gone):
        data = config.paths.copy(NOTEBOOK, each.id) / "data"
        data.mkdir(parents=True)
        (data / "link").symlink_to(tmp_path / "outside")
        (data / "shut").mkdir(mode=0)
    await volumes.prepare(NOTEBOOK, [scratch], now=NOW)
    await volumes.discard(NOTEBOOK, scratch=True)
    assert {each.name for each in (config.paths.volumes / NOTEBOOK).iterdir()} == {kept.id, gone.id}
    await volumes.discard(NOTEBOOK, keep={kept.id})
    assert {each.name for each in (config.paths.volumes / NOTEBOOK).iterdir()} == {kept.id}
    await volumes.discard(NOTEBOOK)
    await volumes.discard(NOTEBOOK)
    assert list(config.paths.volumes.iterdir()) == []
    assert (tmp_path / "outside" / "file").read_text() == "x"


@pytest.mark.parametrize(
    ("note", "stays"),
    [
        (b'{"writable": true}', True),
        (b'{"commit": "1"}', True),
        (b"torn", True),
        (b'{"writable": false}', False),
        (None, False),
    ],
)
async def test_a_clone_that_could_be_written_to_stays_as_long_as_its_notebook(
    volumes: LocalVolumes, config: Config, note: bytes | None, *, stays: bool
) -> None:
    clone = config.paths.copy(NOTEBOOK, attached("https://h.example/x.git:/code:rw").id)
    (clone / "data").mkdir(parents=True)
    (clone / "data" / "mine").touch()
    if note is not None:
        (clone / "git.json").write_bytes(note)
    await volumes.discard(NOTEBOOK, keep=())
    assert (clone / "data" / "mine").exists() is stays
    await volumes.discard(NOTEBOOK)
    assert not clone.exists()


async def test_discard_ends_what_an_earlier_life_began(volumes: LocalVolumes, config: Config) -> None:
    each = attached("a@s3:/a")
    folder = config.paths.copy(NOTEBOOK, each.id)
    (folder / "data").mkdir(parents=True)
    (folder.parent / ".half").mkdir()
    await volumes.discard(NOTEBOOK, keep={each.id})
    assert [entry.name for entry in folder.parent.iterdir()] == [each.id]


# the cache


def cached(config: Config, text: str, version: str) -> Attached:
    each = attached(f"{text}:/data:ro:cache", version=version)
    folder = ask_for(config.paths, each.volume.source, now=NOW - 100 * HOUR)
    (folder / "versions" / version).mkdir(parents=True)
    return each


async def test_shared_copy_is_mounted_read_only(volumes: LocalVolumes, config: Config) -> None:
    each = cached(config, "a@s3", "v1")
    await volumes.prepare(NOTEBOOK, [each], now=NOW)
    (mount,) = await volumes.mounts(NOTEBOOK, [each])
    assert mount.read_only
    assert mount.source == str(config.paths.shared(str(each.volume.source)) / "versions" / "v1")
    for version in (None, "v2", "../v1"):
        with pytest.raises(VolumeFault):
            await volumes.mounts(NOTEBOOK, [attached("a@s3:/data:ro:cache", version=version)])


async def test_shared_copies_are_removed_when_nobody_used_them_for_long(volumes: LocalVolumes, config: Config) -> None:
    old, used, recent = (cached(config, name, "v1") for name in ("old@s3", "used@s3", "recent@s3"))
    await volumes.prepare(NOTEBOOK, [old, used], now=NOW - 80 * HOUR)
    await volumes.prepare(NOTEBOOK, [recent], now=NOW - 70 * HOUR)
    in_use = {("used@s3", "v1")}
    assert await volumes.sweep_cache(in_use, unused_since=NOW - 72 * HOUR) == ["old@s3 (v1)"]
    assert not config.paths.shared(str(old.volume.source)).exists()
    await volumes.mounts(NOTEBOOK, [used, recent])
    assert await volumes.sweep_cache(in_use, unused_since=NOW - 72 * HOUR) == []


async def test_old_version_goes_and_the_one_that_a_pull_begins_from_stays(
    volumes: LocalVolumes, config: Config
) -> None:
    first, second = cached(config, "a@s3", "v1"), cached(config, "a@s3", "v2")
    await volumes.prepare(NOTEBOOK, [first, second], now=NOW - 80 * HOUR)
    ask_for(config.paths, first.volume.source, now=NOW)
    assert await volumes.sweep_cache((), unused_since=NOW - 72 * HOUR) == ["a@s3 (v1)"]
    await volumes.mounts(NOTEBOOK, [second])


async def test_sweep_of_no_cache_is_nothing(volumes: LocalVolumes) -> None:
    assert await volumes.sweep_cache((), unused_since=NOW) == []


def test_places_are_those_of_the_volumes() -> None:
    assert attached("a@s3:/data:ro:cache").place is Place.CACHE
    assert attached("a@lab:/data").place is Place.DIRECTORY


async def test_folder_that_does_not_answer_is_given_up() -> None:
    back = threading.Event()
    with pytest.raises(VolumeFault, match="does not answer") as caught:
        await in_time(back.wait, patience_s=0.01)
    assert caught.value.info_code == "DATASYNC_UNREACHABLE"
    back.set()
