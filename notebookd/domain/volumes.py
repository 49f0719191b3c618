# SPDX-License-Identifier: Apache-2.0
"""Volumes: data attached to a notebook, and the one grammar in which people write them.

``container@alias/prefix:/mount(:ro|rw|rwd)(:cache|no-cache)``: objects of a datastore under a prefix (either part may
be empty); ``https://host/path.git:/mount``: a Git repository; ``standalone:/mount``: an empty scratch folder.

:func:`parse_volume` and :func:`format_volume` are inverse to each other, up to the order and case of the options. The
wire's ``volumes[]`` say the same with names.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias
from urllib.parse import urlsplit
from uuid import UUID, uuid5

MAX_VOLUMES = 10
MAX_MOUNT_PATH = 50
MAX_PREFIX = 1024
WORKSPACE = "/workspace"
SYSTEM_FOLDERS = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/root", "/run", "/sbin", "/sys",
    "/usr", "/var",
)  # fmt: skip
"""Nothing is mounted in or over these: an image would not work without its own."""

ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_NO_VOLUME = "is no volume: write container@alias/prefix:/mount, https://….git:/mount or standalone:/mount"


class Permission(StrEnum):
    """What a notebook may do to a volume, and what of it reaches the source."""

    RO = "RO"
    """Read. Nothing goes back."""
    RW = "RW"
    """Read and write. What was added or changed goes back, deletions do not."""
    RWD = "RWD"
    """Read, write and delete."""

    @property
    def writable(self) -> bool:
        """Whether the notebook may write there."""
        return self is not Permission.RO


PERMISSIONS = {
    "r": Permission.RO,
    "ro": Permission.RO,
    "rw": Permission.RW,
    "rwd": Permission.RWD,
}
"""How a permission may be written, in any case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSource:
    """What lies in ``container`` of the datastore ``alias`` under ``prefix`` (both may be empty: all of it)."""

    alias: str
    container: str = ""
    prefix: str = ""

    def __str__(self) -> str:
        return f"{self.container}@{self.alias}" + (f"/{self.prefix}" if self.prefix else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSource:
    """A Git repository, by its URL."""

    git_url: str

    def __str__(self) -> str:
        return self.git_url


@dataclass(frozen=True, slots=True, kw_only=True)
class ScratchSource:
    """Nothing: an empty folder that lasts as long as a run."""

    def __str__(self) -> str:
        return "standalone"


Source: TypeAlias = StoreSource | GitSource | ScratchSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """Data at ``mount_path``: from a datastore, from Git, or from neither, and then it is scratch (see :meth:`of`).
    ``cache`` shares one read-only copy among notebooks."""

    mount_path: str
    store: StoreSource | None = None
    git: GitSource | None = None
    permission: Permission = Permission.RO
    cache: bool = False

    @classmethod
    def of(
        cls, source: Source, mount_path: str, permission: Permission | None = None, *, cache: bool = False
    ) -> Volume:
        """A volume of ``source``. Without a permission it is the usual one: RO, and RW for scratch."""
        return cls(
            store=source if isinstance(source, StoreSource) else None,
            git=source if isinstance(source, GitSource) else None,
            mount_path=mount_path,
            permission=permission or usual_permission(source),
            cache=cache,
        )

    @property
    def source(self) -> Source:
        """Where the data comes from."""
        return self.store or self.git or ScratchSource()

    def __str__(self) -> str:
        return format_volume(self)


def usual_permission(source: Source) -> Permission:
    """What goes without saying."""
    return Permission.RW if isinstance(source, ScratchSource) else Permission.RO


def parse_volume(text: str) -> Volume:
    """The volume that ``text`` means. Raises :class:`ValueError` with a sentence for people."""
    if ":/" not in text:
        raise ValueError(_NO_VOLUME)
    rest, permission, cache = _options(text)
    place, colon, mount_path = rest.rpartition(":/")
    if not colon or (_URL.match(text) and not _URL.match(place)):  # a URL has a colon and a slash of its own
        raise ValueError(_NO_VOLUME)
    return Volume.of(_source(place), f"/{mount_path}", permission, cache=bool(cache))


def _options(text: str) -> tuple[str, Permission | None, bool | None]:
    permission: Permission | None = None
    cache: bool | None = None
    while True:
        rest, colon, word = text.rpartition(":")
        option = word.lower()
        if not colon or word.startswith("/"):
            return text, permission, cache
        if option in {"cache", "no-cache"} and cache is None:
            cache = option == "cache"
        elif option in PERMISSIONS and permission is None:
            permission = PERMISSIONS[option]
        else:
            raise ValueError(f"{word!r} is none of ro, rw, rwd, cache and no-cache, or is said twice")
        text = rest


def _source(place: str) -> Source:
    if place == "standalone":
        return ScratchSource()
    if _URL.match(place):
        return GitSource(git_url=place)
    container, at, rest = place.partition("@")
    if not at:
        raise ValueError(f"{place!r} is no source: write container@alias, a Git URL or standalone")
    alias, _, prefix = rest.partition("/")
    if ":" in alias:
        raise ValueError(f"{place!r} is no source: write a Git repository with its URL, https://….git")
    return StoreSource(alias=alias, container=container, prefix=prefix)


def format_volume(volume: Volume) -> str:
    """``volume`` as people write it; what goes without saying is left out."""
    said = [str(volume.source), volume.mount_path]
    if volume.permission is not usual_permission(volume.source):
        said.append(volume.permission.lower())
    if volume.cache:
        said.append("cache")
    return ":".join(said)


def volume_id(notebook_id: str, volume: Volume) -> str:
    """The id of a volume of a notebook: the same as long as source and mount path are."""
    return str(uuid5(UUID(notebook_id), f"{volume.source}:{volume.mount_path}"))


def normalised(volume: Volume) -> Volume:
    """``volume`` with the spellings that mean the same made one: no slash at an end of prefix or mount path."""
    store = replace(volume.store, prefix=volume.store.prefix.strip("/")) if volume.store else None
    mount_path = volume.mount_path if volume.mount_path == "/" else volume.mount_path.rstrip("/")
    return replace(volume, store=store, mount_path=mount_path)


def volume_faults(volumes: Sequence[Volume], git_schemes: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """What is wrong with each volume and with all together: index, field, sentence."""
    for index, volume in enumerate(volumes):
        for field, message in _faults(volume, git_schemes):
            yield index, field, message
        for other in volumes[:index]:
            if collision := _collision(volume.mount_path, other.mount_path):
                yield index, "mountPath", collision


def _faults(volume: Volume, git_schemes: Sequence[str]) -> Iterator[tuple[str, str]]:
    if message := mount_path_fault(volume.mount_path):
        yield "mountPath", message
    match volume.source:
        case StoreSource():
            yield from store_faults(volume.source)
        case GitSource(git_url=url):
            if wrong := git_url_fault(url, git_schemes):
                yield "publicGit.url", wrong
            if volume.permission is Permission.RWD:
                yield "permission", "nothing is pushed to a Git repository: RO or RW"
        case ScratchSource() if volume.permission is Permission.RO:
            yield "permission", "an empty folder that cannot be written to is of no use: RW"
    if volume.cache and (volume.permission is not Permission.RO or isinstance(volume.source, ScratchSource)):
        yield "cache", "only what is read only (RO) and comes from somewhere can be shared from a cache"


def store_faults(source: StoreSource) -> Iterator[tuple[str, str]]:
    """What is wrong with a place in a datastore: field, sentence."""
    if not ALIAS.fullmatch(source.alias):
        yield "dataStore.alias", "must be letters, digits and . _ -"
    if source.container and not CONTAINER.fullmatch(source.container):
        yield "dataStore.container", "must be letters, digits and . _ -"
    if _has_odd_characters(source.prefix):
        yield "dataStore.prefix", "must be without control characters"
    elif len(source.prefix) > MAX_PREFIX:
        yield "dataStore.prefix", f"must be at most {MAX_PREFIX} characters"
    elif any(part in {"", ".", ".."} for part in source.prefix.split("/")) and source.prefix:
        yield "dataStore.prefix", "must be a path without empty, . and .. parts"


def workspace_links(mount_paths: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The names, best first, under which a link in the workspace leads to each place outside of it that something is
    mounted at: editors show the workspace and nothing else."""
    within = {path.split("/")[2] for path in mount_paths if _covers(WORKSPACE, path)}
    links: dict[str, tuple[str, ...]] = {}
    for path in mount_paths:
        if not _covers(WORKSPACE, path):
            taken = within.union(*links.values())
            names = (path.rpartition("/")[2], path[1:].replace("/", "-"))
            links[path] = tuple(dict.fromkeys(name for name in names if name not in taken))
    return links


def mount_path_fault(path: str) -> str | None:
    """Why nothing may be mounted at ``path``."""
    if not re.fullmatch(r"/\S*", path) or _has_odd_characters(path):
        return "must begin with / and be without blanks and control characters"
    if len(path) > MAX_MOUNT_PATH:
        return f"must be at most {MAX_MOUNT_PATH} characters"
    if path in {"/", WORKSPACE}:
        return f"must not be {path} itself: mount below, or beside it"
    if ":" in path or any(part in {"", ".", ".."} for part in path[1:].split("/")):
        return "must be a plain path: without colons, and without empty, . and .. parts"
    if within := next((folder for folder in SYSTEM_FOLDERS if _covers(folder, path)), None):
        return f"must not be in the system's {within}"
    return None


def git_url_fault(url: str, schemes: Sequence[str]) -> str | None:
    """Why ``url`` is not cloned."""
    if not url.isprintable() or " " in url or len(url) > MAX_PREFIX:
        return "must be a URL without blanks"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "must be a URL"
    if parts.scheme not in schemes:
        return f"must be a URL of {' or '.join(schemes)}"
    if parts.username is not None or parts.password is not None:
        return "must not carry credentials: they would be on record"
    if not parts.hostname or not re.fullmatch(r"[A-Za-z0-9:][A-Za-z0-9.:_-]*", parts.hostname):
        return "must name a host"
    if parts.query or parts.fragment:
        return "must be without ? and #"
    return None


def _collision(path: str, other: str) -> str | None:
    if path == other:
        return f"{path} is mounted twice"
    if _covers(path, other) or _covers(other, path):
        return f"{path} and {other} lie in each other"
    return None


def _covers(folder: str, path: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _has_odd_characters(text: str) -> bool:
    return any(unicodedata.category(character) in {"Cc", "Cs"} for character in text)
