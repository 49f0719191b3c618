# SPDX-License-Identifier: Apache-2.0
"""Names of accounts as text, and what is done with a directory service's answers."""

from __future__ import annotations

import os
import pwd

import pytest

from notebookd.adapters.directory import FRESH_S, ROOT, SystemDirectory, name_of, raw_names, shown
from notebookd.testing.clock import FakeClock


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"alice", "alice"),
        (b"CORP\\alice", "CORP\\alice"),
        (b"domain users", "domain users"),
        (b"alice@corp.example", "alice@corp.example"),
        ("jörg".encode(), "jörg"),
        (b"j\xf8rg", "j\\xf8rg"),
        (b"j\xf9rg", "j\\xf9rg"),
        (b"a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\u202eb".encode(), "a\\xe2\\x80\\xaeb"),
    ],
)
def test_a_name_of_any_bytes_is_text_and_can_be_looked_up_again(raw: bytes, text: str) -> None:
    made = shown(os.fsdecode(raw))
    assert made == text
    made.encode()
    assert made.isprintable()
    assert raw in [os.fsencode(each) for each in raw_names(made)]


def test_a_name_that_reads_like_one_with_bytes_is_tried_first() -> None:
    assert raw_names("CORP\\xabe") == ["CORP\\xabe", os.fsdecode(b"CORP\xabe")]


async def test_an_account_is_who_the_files_say() -> None:
    directory = SystemDirectory(FakeClock())
    daemon = pwd.getpwnam("daemon")
    person = await directory.person("daemon")
    assert person is not None
    assert (person.name, person.uid) == ("daemon", daemon.pw_uid)
    assert "daemon" in person.groups
    assert await directory.peer(daemon.pw_uid, None) == person
    assert (await directory.peer(daemon.pw_uid, {0})).groups == {"root"}
    assert await directory.person("nobody-of-that-name") is None
    nobody = await directory.peer(4_000_000, {4_000_001})
    assert (nobody.name, nobody.groups) == ("4000000", frozenset())
    assert (await directory.peer(0, {0})).name == ROOT
    assert directory.person_now("daemon") == person
    assert name_of(0) == ROOT


async def test_a_name_is_its_number_until_it_is_known_and_is_believed_for_a_while() -> None:
    clock = FakeClock()
    directory = SystemDirectory(clock)
    assert directory.name_now(1) == "1"
    await directory.peer(1, ())
    assert directory.name_now(1) == "daemon"
    clock.step(FRESH_S)
    assert directory.name_now(1) == "daemon", "while it is looked up again"
