# SPDX-License-Identifier: Apache-2.0
"""What a configuration names that has to be there for it to hold: accounts, groups, flavors, folders and files.

A limit for an account that does not exist limits nobody, and nothing says so. So each name is looked for where the
configuration is checked, by the doctor, and when the daemon reads it. What is absent is no fault: an account may come.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from notebookd.config.shape import Config, DirectoryDatastore
from notebookd.spelling import did_you_mean


class Kind(StrEnum):
    """What is named."""

    USER = "user"
    GROUP = "group"
    FLAVOR = "flavor"
    FOLDER = "folder"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """A name in the configuration, and the key that it is under."""

    kind: Kind
    name: str
    key: str


_HINTS = {
    Kind.USER: "`getent passwd` lists the accounts",
    Kind.GROUP: "`getent group` lists the groups",
    Kind.FLAVOR: "`notebookctl capabilities flavor` lists them",
    Kind.FOLDER: "make it, or name another",
    Kind.FILE: "make it, or name another",
}


def mentions_of(config: Config) -> tuple[Mention, ...]:
    """Every name, in the order of the keys."""
    return (*_api(config), *_quota(config), *_datastores(config), *_flavors(config), *_files(config))


def absent_words(mention: Mention, known: Collection[str] = ()) -> tuple[str, str]:
    """That it is not there, and what to do; ``known`` are those that are."""
    close = did_you_mean(mention.name, sorted(known)) if known else None
    return f"there is no {mention.kind} {mention.name}", close or _HINTS[mention.kind]


def _api(config: Config) -> Iterator[Mention]:
    yield Mention(kind=Kind.GROUP, name=config.api.group, key="api.group")
    yield Mention(kind=Kind.GROUP, name=config.api.admin_group, key="api.admin_group")


def _quota(config: Config) -> Iterator[Mention]:
    for name in config.quota.users:
        if not name.isdecimal():  # a uid without an account goes by its number
            yield Mention(kind=Kind.USER, name=name, key=f"quota.user.{name}")
    for name in config.quota.groups:
        yield Mention(kind=Kind.GROUP, name=name, key=f"quota.group.{name}")


def _datastores(config: Config) -> Iterator[Mention]:
    for position, store in enumerate(config.datastores):
        where = f"datastore[{position}]"
        if isinstance(store, DirectoryDatastore):
            yield Mention(kind=Kind.FOLDER, name=str(store.path), key=f"{where}.path")
        else:
            yield Mention(kind=Kind.FILE, name=str(store.config), key=f"{where}.config")
        for key, names in (("read", store.read), ("write", store.write)):
            for name in names:
                if name != "*" and not name.isdecimal():
                    kind = Kind.GROUP if name.startswith("@") else Kind.USER
                    yield Mention(kind=kind, name=name.removeprefix("@"), key=f"{where}.{key}")


def _flavors(config: Config) -> Iterator[Mention]:
    for flavor in config.billing.rates:
        yield Mention(kind=Kind.FLAVOR, name=flavor, key=f"billing.rates.{flavor}")
    for position, each in enumerate(config.flavors):
        yield Mention(kind=Kind.FLAVOR, name=each.id, key=f"flavor[{position}].id")
        for group in each.groups:
            yield Mention(kind=Kind.GROUP, name=group, key=f"flavor[{position}].groups")


def _files(config: Config) -> Iterator[Mention]:
    if config.surroundings.ca_file is not None:
        yield Mention(kind=Kind.FILE, name=str(config.surroundings.ca_file), key="notebooks.ca_file")
