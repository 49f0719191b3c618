# SPDX-License-Identifier: Apache-2.0
"""notebookctl backup: a whole file under its name, or none."""

from __future__ import annotations

import os
import socketserver
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.cli.fake_terminal import FakeTerminal

BODY = bytes(range(256)) * 9000


@pytest.fixture
def file(tmp_path):
    (tmp_path / "to").mkdir()
    return tmp_path / "to" / "notebookd.db"


def names(file):
    return [each.name for each in file.parent.iterdir()]


def test_it_is_written_for_its_owner_alone(notebookctl, toy, file):
    toy.on("GET /v1/backup", BODY)
    done = notebookctl("backup", str(file))
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == f"wrote 2.2 MiB to {file}\n"
    assert file.read_bytes() == BODY
    assert file.stat().st_mode & 0o777 == 0o600
    assert names(file) == ["notebookd.db"]


def test_only_a_file_is_ever_replaced(notebookctl, toy, file):
    toy.on("GET /v1/backup", BODY)
    os.mkfifo(file)
    refused = notebookctl("backup", "--force", str(file))
    assert refused.exit_code == 2
    assert "is no file" in refused.stderr
    assert file.is_fifo()


def test_a_file_that_exists_is_replaced_by_force_alone(notebookctl, toy, file):
    toy.on("GET /v1/backup", BODY)
    file.write_bytes(b"precious")
    refused = notebookctl("backup", str(file))
    assert (refused.exit_code, toy.asked) == (2, [])
    assert "exists: name another file, or say --force" in refused.stderr
    assert file.read_bytes() == b"precious"
    assert notebookctl("backup", "--force", str(file)).exit_code == 0
    assert file.read_bytes() == BODY


def test_a_dangling_link_counts_as_there(notebookctl, toy, file):
    file.symlink_to(file.parent / "elsewhere")
    assert notebookctl("backup", str(file)).exit_code == 2


def test_stdout_holds_the_database_and_nothing_else(notebookctl, toy):
    toy.on("GET /v1/backup", BODY)
    done = notebookctl.program("backup", "-")
    assert (done.returncode, done.stdout, done.stderr) == (0, BODY, b"")


def test_it_is_not_poured_over_a_terminal(notebookctl, toy):
    notebookctl.terminal = FakeTerminal(width=80)
    done = notebookctl("backup", "-")
    assert (done.exit_code, toy.asked) == (2, [])
    assert "nothing for a terminal" in done.stderr


def test_a_refusal_leaves_the_file_as_it_was(notebookctl, toy, file):
    body = {"message": "cannot copy the database: only admins may", "code": "forbidden"}
    toy.on("GET /v1/backup", body, 403)
    file.write_bytes(b"precious")
    done = notebookctl("backup", "--force", str(file))
    assert (done.exit_code, done.stderr) == (
        1,
        "notebookctl: cannot copy the database: only admins may (forbidden)\n",
    )
    assert (names(file), file.read_bytes()) == (["notebookd.db"], b"precious")


def test_what_breaks_off_is_no_backup(notebookctl, tmp_path, file):
    class Half(socketserver.StreamRequestHandler):
        def handle(self):
            while self.rfile.readline().strip():
                pass
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 999_999)

    path = str(tmp_path / "half.sock")
    with socketserver.UnixStreamServer(path, Half) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        done = notebookctl("backup", str(file), env={"NOTEBOOKD_SOCKET": path})
        thread.join()
    assert (done.exit_code, names(file)) == (3, [])
    assert "broke" in done.stderr


def test_a_folder_that_is_not_there_is_said_in_words(notebookctl, toy, file):
    toy.on("GET /v1/backup", BODY)
    done = notebookctl("backup", str(file.parent / "no" / "file"))
    assert done.exit_code == 1
    assert f"cannot write {file.parent}/no/file: No such file or directory" in done.stderr


def test_a_disk_that_is_full_is_not_a_daemon_that_is_away(notebookctl, toy):
    toy.on("GET /v1/backup", BODY)
    program = [sys.executable, "-c", "from notebookd.cli.main import main; main()", "--socket", toy.path]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*program, "backup", "-"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert b"cannot write the output: no space left on device" in done.stderr
