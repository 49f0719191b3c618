# SPDX-License-Identifier: Apache-2.0
"""``notebookd restore``: what it says and refuses before it touches a database."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from notebookd import daemon
from notebookd.adapters.sqlite import SqliteStore
from notebookd.adapters.state_folder import hold
from tests.values import NOW

ROOT = Path(__file__).parents[2]
NOBODY = 65534


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def config(tmp_path: Path, state: Path) -> Path:
    file = tmp_path / "notebookd.toml"
    file.write_text(f'[paths]\nstate = "{state}"\n')
    return file


@pytest.fixture
async def backup(tmp_path: Path) -> Path:
    """Of an instance called mine."""
    return await written(tmp_path / "backup.db", "mine")


async def written(file: Path, instance: str) -> Path:
    async with SqliteStore.open(file, NOW, ballast_bytes=1) as store, store.transaction() as tx:
        await tx.put_meta("instance", instance)
    return file


def restore(*words: object) -> int:
    umask = os.umask(0o077)
    try:
        return daemon.main(["restore", *map(str, words)])
    finally:
        os.umask(umask)


async def test_it_says_what_it_did_and_where_the_other_one_is(
    state: Path, config: Path, backup: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await written(state / "notebookd.db", "mine")
    assert restore(backup, "--config", config) == 0
    (kept,) = state.glob("notebookd.db.before-restore-*")
    said = capsys.readouterr()
    assert said.out.splitlines()[0].startswith(f"restored {backup} to {state}/notebookd.db (schema ")
    assert said.out.splitlines()[1] == f"the database that was there is kept as {kept}"
    assert said.err == ""


async def test_under_a_running_notebookd_it_does_nothing(
    state: Path, config: Path, backup: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hold(state):
        assert restore(backup, "--config", config) == 1
    assert "another notebookd holds it\nhint: stop that one first" in capsys.readouterr().err
    assert [each.name for each in state.iterdir()] == ["lock"]


async def test_another_instances_is_put_in_place_by_force(state: Path, config: Path, backup: Path) -> None:
    await written(state / "notebookd.db", "other")
    assert restore(backup, "--config", config) == 1
    assert restore(backup, "--config", config, "--force") == 0


async def test_a_database_with_its_journal_beside_it_is_not_the_whole(
    config: Path, backup: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(f"{backup}-wal").write_bytes(b"")
    assert restore(backup, "--config", config) == 1
    assert "backup.db-wal beside it, so that it is not the whole" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("/no/such/file",), ("/",)])
def test_what_cannot_be_read_is_said_in_words(
    config: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore(*words, "--config", config) == 1
    assert f"notebookd: cannot restore {words[0]}: " in capsys.readouterr().err


async def test_without_a_state_folder_it_makes_none(state: Path, config: Path, backup: Path) -> None:
    state.rmdir()
    assert restore(backup, "--config", config) == 1
    assert not state.exists()


async def test_roots_restore_leaves_the_account_its_own_database(backup: Path) -> None:
    """Root reads the file, which the account could not; the account writes, where it may have put links."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another account")
    with tempfile.TemporaryDirectory() as folder:  # one that every account may enter
        Path(folder).chmod(0o711)
        state, config = Path(folder, "state"), Path(folder, "notebookd.toml")
        state.mkdir()
        os.chown(state, NOBODY, NOBODY)
        config.write_text(f'[paths]\nstate = "{state}"\n')
        command = [sys.executable, "-m", "notebookd.daemon", "restore", backup, "--config", config]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        for name in ("notebookd.db", "lock"):
            status = (state / name).stat()
            assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (NOBODY, NOBODY, 0o600)
