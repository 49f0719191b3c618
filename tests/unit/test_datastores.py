# SPDX-License-Identifier: Apache-2.0
"""Who may which datastore."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebookd.config import Datastore, DirectoryDatastore
from notebookd.domain.actor import Actor, Role
from notebookd.domain.datastores import may_read, may_write, rights_faults, store_right
from notebookd.domain.volumes import Permission, parse_volume


def store(read: tuple[str, ...] = (), write: tuple[str, ...] = (), alias: str = "DATA") -> Datastore:
    return DirectoryDatastore(alias=alias, path=Path("/srv"), read=read, write=write)


def person(name: str = "alice", role: Role = Role.OPERATOR, *groups: str) -> Actor:
    return Actor(name=name, role=role, groups=frozenset(groups))


@pytest.mark.parametrize(
    ("people", "may"),
    [
        ((), False),
        (("*",), True),
        (("alice",), True),
        (("bob",), False),
        (("@staff",), True),
        (("@students",), False),
        (("@alice",), False),
        (("staff",), False),
        (("bob", "@staff"), True),
    ],
)
def test_people_are_named_themselves_by_group_or_all_at_once(people: tuple[str, ...], may: bool) -> None:
    assert may_read(store(read=people), "alice", {"staff"}) is may
    assert may_write(store(write=people), "alice", {"staff"}) is may


def test_who_may_write_may_read_and_not_the_other_way_round() -> None:
    assert may_read(store(write=("alice",)), "alice", ())
    assert not may_write(store(read=("alice",)), "alice", ())


def test_an_admin_may_all() -> None:
    assert store_right(store(), person(role=Role.ADMIN)) is Permission.RWD
    assert store_right(store(), person()) is None
    assert store_right(store(read=("@staff",)), person("bob", Role.OPERATOR, "staff")) is Permission.RO


def test_volumes_of_hidden_absent_and_read_only_datastores_are_named() -> None:
    stores = {each.alias: each for each in (store(read=("*",)), store(("bob",), alias="HIDDEN"))}
    volumes = [
        parse_volume(text)
        for text in ("a@DATA:/a", "a@DATA:/b:rw", "a@HIDDEN:/c", "a@NONE:/d", "https://h/x.git:/e", "standalone:/f")
    ]
    faults = {(index, field): message for index, field, message in rights_faults(volumes, stores, person())}
    assert faults.keys() == {(1, "permission"), (2, "dataStore.alias"), (3, "dataStore.alias")}
    hidden = faults[2, "dataStore.alias"]
    assert hidden == "there is no datastore HIDDEN; there are: DATA"
    assert hidden.replace("HIDDEN", "NONE") == faults[3, "dataStore.alias"]
