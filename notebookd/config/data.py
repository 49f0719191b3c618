# SPDX-License-Identifier: Apache-2.0
"""What the configuration says of data: datastores, transfers, snapshots, workspaces."""

from __future__ import annotations

import re
from pathlib import Path

from notebookd.config import shape
from notebookd.config.names import ACCOUNT, parse_name
from notebookd.config.reader import Table

GIT_SCHEMES = ("https", "http", "git")

_ACCOUNT = re.compile(ACCOUNT)
_PEOPLE = 'write a user, "@group" or "*", with no colon or control character in it, and no blank at either end'
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REPOSITORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@-]*:[^:\0\n]*")


def read_datastores(root: Table) -> tuple[shape.Datastore, ...]:
    """The tables ``[[datastore]]``."""
    stores: list[shape.Datastore] = []
    for table in root.tables("datastore"):
        store = _datastore(table)
        if store.alias and any(other.alias == store.alias for other in stores):
            table.problem("alias", f"{store.alias!r} is there twice")
        stores.append(store)
    return tuple(stores)


def _datastore(table: Table) -> shape.Datastore:
    alias = table.required("alias", parse_name, "")
    read, write = (_people(table, key) for key in ("read", "write"))
    if table.choice("type", ("directory", "rclone"), "directory") == "directory":
        path = table.required("path", _store_path, Path("/nonexistent"))
        return shape.DirectoryDatastore(alias=alias, path=path, read=read, write=write)
    return shape.RcloneDatastore(
        alias=alias,
        remote=table.required("remote", _remote, ""),
        config=table.path("config", "/etc/notebookd/rclone.conf"),
        read=read,
        write=write,
    )


def _people(table: Table, key: str) -> tuple[str, ...]:
    names = table.strings(key)
    for position, name in enumerate(names):
        if name != "*" and not _ACCOUNT.fullmatch(name.removeprefix("@")):
            table.problem(f"{key}[{position}]", f"{name!r} names nobody", _PEOPLE)
    return names


def read_transfers(root: Table) -> shape.Transfers:
    """The section ``[transfers]``."""
    with root.table("transfers") as table:
        schemes = table.strings("git_schemes", ("https",))
        for position, scheme in enumerate(schemes):
            if scheme not in GIT_SCHEMES:
                table.problem(f"git_schemes[{position}]", f"{scheme!r} is not cloned from", " or ".join(GIT_SCHEMES))
        return shape.Transfers(
            at_once=table.integer("at_once", 4, at_least=1, at_most=64),
            bandwidth_bytes_s=table.size("bandwidth", "0B") or None,
            max_files=table.integer("max_files", 1_000_000, at_least=1),
            git_schemes=schemes,
            git_max_bytes=table.size("git_max_size", "2GiB"),
            git_timeout_s=table.duration("git_timeout", "15m", at_least_s=1),
            cache_keep_s=table.duration("cache_keep", "72h"),
            push_exclude=_names(table, "push_exclude", (".ipynb_checkpoints",)),
        )


def _names(table: Table, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    names = table.strings(key, default)
    for position, name in enumerate(names):
        if not name.strip("*") or "/" in name or name in {".", ".."} or not name.isprintable():
            table.problem(f"{key}[{position}]", f"{name!r} is no name of files", "write a name, or as *.tmp several")
    return names


def read_snapshots(root: Table, paths: shape.Paths) -> shape.Snapshots:
    """The section ``[snapshots]``."""
    with root.table("snapshots") as table:
        return shape.Snapshots(
            at_stop=table.flag("at_stop", default=True),
            exclude_caches=table.flag("exclude_caches", default=True),
            keep=table.integer("keep", 7, at_least=1, at_most=1000),
            repository=table.text("repository", str(paths.snapshots), _repository),
            config=table.path("config", "/etc/notebookd/rclone.conf"),
        )


def read_workspaces(root: Table) -> shape.Workspaces:
    """The section ``[workspace]``."""
    with root.table("workspace") as table:
        return shape.Workspaces(
            quota_bytes=table.size("quota", "0B") or None,
            measure_every_s=table.duration("measure_every", "10m", at_least_s=1),
        )


def read_surroundings(root: Table) -> shape.Surroundings:
    """The section ``[notebooks]``."""
    with root.table("notebooks") as table:
        with table.open_table("env") as env:
            values = {name: env.required(name, _one_line, "") for name in env.keys()}  # noqa: SIM118 - no mapping
            for name in values:
                if not _VARIABLE.fullmatch(name):
                    env.problem(name, "must be letters, digits and _, not starting with a digit")
        return shape.Surroundings(env=values, ca_file=table.parsed("ca_file", _file_or_none, None))


def _one_line(text: str) -> str:
    if "\0" in text or "\n" in text:
        raise ValueError("must be one line without NUL")
    return text


def _file_or_none(text: str) -> Path | None:
    if text and not Path(text).is_absolute():
        raise ValueError(f"{text!r} is not the absolute path of a file")
    return Path(text) if text else None


def _repository(text: str) -> str:
    if text.startswith("/"):
        return str(_store_path(text))
    if not _REPOSITORY.fullmatch(text):
        raise ValueError(f'{text!r} is neither the path of a folder nor "remote:path" of an rclone remote')
    return text


def _store_path(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or "\0" in text or ".." in path.parts or path == Path("/"):
        raise ValueError(f"{text!r} is not the absolute path of a folder below /")
    return path


def _remote(text: str) -> str:
    if not text.strip() or text.startswith("-") or ":" in text:
        raise ValueError(f"{text!r} is not the name of an rclone remote: as in `rclone listremotes`, without the colon")
    return text
