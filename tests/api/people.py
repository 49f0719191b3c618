# SPDX-License-Identifier: Apache-2.0
"""Throw-away accounts, to see what the kernel says of a peer."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pwd
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

MEMBERS, ADMINS = "nbdtest-members", "nbdtest-admins"
LOCK = Path("/run/lock/notebookd-test-accounts")

_CALL = """
import http.client, json, socket, sys
wish = json.load(sys.stdin)
class Local(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(wish["socket"])
try:
    there = Local("localhost")
    body = None if wish["body"] is None else json.dumps(wish["body"])
    there.request(wish["method"], wish["path"], body, wish["headers"])
    answer = there.getresponse()
    print(json.dumps([answer.status, answer.read().decode()]))
except OSError as fault:
    print(json.dumps([0, type(fault).__name__]))
"""


@dataclass(frozen=True, slots=True)
class Person:
    """An account of this machine."""

    name: str

    @property
    def uid(self) -> int:
        """Its user id."""
        return pwd.getpwnam(self.name).pw_uid

    async def call(
        self, socket: Path, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Ask as this account, in a process of its own. Status 0 is a socket that would not be opened."""
        account = pwd.getpwnam(self.name)
        there = await asyncio.create_subprocess_exec(
            "/usr/bin/python3",
            "-I",
            "-c",
            _CALL,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=os.getgrouplist(self.name, account.pw_gid),
            cwd="/",
        )
        wish = {"socket": str(socket), "method": method, "path": path, "body": body, "headers": dict(headers or {})}
        said, _ = await there.communicate(json.dumps(wish).encode())
        status, text = json.loads(said)
        lines = [json.loads(line) for line in text.splitlines()] if status else [text]
        return status, lines if path.startswith("/v1/event") and status == 200 else lines[0] if lines else None


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Who there is."""

    alice: Person
    bob: Person
    boss: Person
    stranger: Person
    service: Person


@contextmanager
def invent_people() -> Iterator[People]:
    """Make the accounts, and remove them again."""
    if os.geteuid() != 0:
        pytest.skip("only root can make accounts")
    groups = {
        "nbdt-alice": MEMBERS,
        "nbdt-bob": MEMBERS,
        "nbdt-boss": f"{MEMBERS},{ADMINS}",
        "nbdt-nobody": "",
        "nbdt-svc": MEMBERS,
    }
    with LOCK.open("w") as lock:  # another run on this machine would remove them under this one
        fcntl.flock(lock, fcntl.LOCK_EX)
        _remove(groups)
        for group in (MEMBERS, ADMINS):
            _system("groupadd", "--system", group)
        for name, group in groups.items():
            _system("useradd", "--system", "--no-create-home", *(["--groups", group] if group else []), name)
        alice, bob, boss, nobody, service = (Person(name) for name in groups)
        try:
            yield People(alice=alice, bob=bob, boss=boss, stranger=nobody, service=service)
        finally:
            _remove(groups)


def _remove(names: Mapping[str, str]) -> None:
    for name in names:
        _system("userdel", name, must=False)
    for group in (MEMBERS, ADMINS):
        _system("groupdel", group, must=False)


def _system(*command: str, must: bool = True) -> None:
    subprocess.run(command, check=must, capture_output=True, timeout=60)
