# SPDX-License-Identifier: Apache-2.0
"""Names as directories have them: blanks, backslashes, @, digits alone, bytes that are no UTF-8."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.nss.directory import Daemon, open_daemon
from tests.nss.test_slow_directory import CPU, folder, library

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask as several accounts")
__all__ = ["folder", "library"]

MEMBERS, ADMINS, READERS, DIGITS = 72_001, 72_002, 72_003, 72_004
PEOPLE: dict[int, tuple[bytes, str]] = {
    62_001: (b"CORP\\alice", "CORP\\alice"),
    62_002: (b"alice@corp.example", "alice@corp.example"),
    62_003: (b"4711", "4711"),
    62_004: (b"Alice von B", "Alice von B"),
    62_005: ("jörg".encode(), "jörg"),
    62_006: (b"j\xf8rg", "j\\xf8rg"),
    62_007: (b"=cmd|' /C calc'!A0", "=cmd|' /C calc'!A0"),
    62_008: (b'a"b', 'a"b'),
}
GROUPS = (
    f"group {MEMBERS} {','.join(map(str, PEOPLE))} domain users".encode(),
    f"group {ADMINS} - CORP\\notebook admins".encode(),
    f"group {READERS} 62002 ".encode() + b"f\xfcr alle",
    f"group {DIGITS} 62003 1234".encode(),
)
ACCOUNTS = (*(f"user {uid} {MEMBERS} ".encode() + raw for uid, (raw, _) in PEOPLE.items()), *GROUPS)
CONFIG = """
[api]
socket = "{folder}/api.sock"
group = "domain users"
admin_group = 'CORP\\notebook admins'
[quota]
gpus = 3
[quota.user.'CORP\\alice']
gpus = 1
[quota.user."4711"]
gpus = 2
[quota.group."1234"]
notebooks = 7
[[datastore]]
alias = "shared"
path = "{folder}"
read = ['CORP\\alice', "@f\\\\xfcr alle", "4711", "Alice von B"]
"""
READS_SHARED = {62_001, 62_002, 62_003, 62_004}


@pytest.fixture
async def daemon(folder: Path, library: Path) -> AsyncIterator[Daemon]:
    async with open_daemon(folder, library, CONFIG.format(folder=folder), *ACCOUNTS) as opened:
        yield opened


def ctl(daemon: Daemon, *words: str) -> str:
    """What notebookctl prints."""
    command = [sys.executable, "-c", "from notebookd.cli.main import main; main()", "--socket", str(daemon.api), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_each_name_is_taken_everywhere(daemon: Daemon) -> None:
    for uid, (_, name) in PEOPLE.items():
        me = (await daemon.ask(uid, gids=[MEMBERS])).body
        assert (me["name"], me["role"]) == (name, "ai_training_operator")
        made = await daemon.ask(uid, "POST", "/v1/notebook", {**CPU, "name": "mine"}, gids=[MEMBERS])
        assert (made.status, made.body["user"]) == (200, name), made.body
        gids = [MEMBERS, READERS] if uid == 62_002 else [MEMBERS]
        stores = (await daemon.ask(uid, path="/v1/datastore", gids=gids)).body
        assert [each["alias"] for each in stores["items"]] == (["shared"] if uid in READS_SHARED else []), name
        token = await daemon.ask(uid, "POST", "/v1/token", {"name": "t", "role": "ai_training_read"}, gids=gids)
        assert (token.status, token.body["user"]) == (200, name)
        shown = {"Authorization": f"Bearer {token.body['status']['value']}"}
        assert (await daemon.ask(0, **shown)).body["name"] == name
        mine = (await daemon.ask(0, path="/v1/notebook", **shown)).body["items"]
        assert [each["id"] for each in mine] == [made.body["id"]]
        theirs = (await daemon.ask(0, path=f"/v1/notebook?userName={quote(name, safe='')}")).body["items"]
        assert [each["id"] for each in theirs] == [made.body["id"]]
    for uid, most in {62_001: 1, 62_003: 2, 62_004: 3}.items():
        shown = (await daemon.ask(uid, path="/v1/config", gids=[MEMBERS])).body["items"]
        assert {each["key"]: each["value"] for each in shown}["quota.gpus"] == most
    bounds = (await daemon.ask(62_003, path="/v1/config", gids=[MEMBERS])).body["items"]
    assert {each["key"]: each["value"] for each in bounds}["quota.notebooks"] == 7, "by a group of digits alone"
    names = {name for _, name in PEOPLE.values()}
    for words in (
        ("list", "--all"),
        ("token", "list"),
        ("usage", "--group-by", "user"),
        ("queue",),
        ("config", "show"),
    ):
        ctl(daemon, *words)
        ctl(daemon, *words, "-o", "csv")
    listed = (await daemon.ask(0, path="/v1/notebook")).body["items"]
    assert {each["user"] for each in listed} == names
    assert {row["USER"] for row in csv.DictReader(io.StringIO(ctl(daemon, "token", "list", "-o", "csv")))} >= names - {
        "=cmd|' /C calc'!A0"
    }
    assert daemon.looked_up_by_the_loop() == []


async def test_an_admin_by_a_group_with_a_blank_hands_over_between_such_names(daemon: Daemon) -> None:
    wish = {"name": "t", "role": "ai_training_read"}
    assert (await daemon.ask(62_001, "POST", "/v1/token", wish, gids=[MEMBERS])).status == 200
    wish = {"from": "CORP\\alice", "to": "j\\xf8rg"}
    said = await daemon.ask(62_005, "POST", "/v1/account/chown", wish, gids=[ADMINS])
    assert (said.status, said.body) == (200, {**wish, "uid": 62_006, "notebooks": 0, "tokens": 1})


async def test_a_uid_without_an_account_is_not_the_account_of_that_name(daemon: Daemon) -> None:
    made = await daemon.ask(4711, "POST", "/v1/notebook", CPU, gids=[MEMBERS])
    assert (made.status, made.body["user"]) == (200, "4711")
    said = await daemon.ask(62_003, path="/v1/notebook", gids=[MEMBERS])
    assert (said.status, said.body["code"]) == (403, "forbidden")
    assert "uid 4711" in said.body["message"]
