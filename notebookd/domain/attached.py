# SPDX-License-Identifier: Apache-2.0
"""Volumes of a run: where each one's files are, and what is known of them against their source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from notebookd.domain.volumes import GitSource, ScratchSource, Volume, volume_id


class Place(StrEnum):
    """Where a volume's files are while a notebook has them."""

    DIRECTORY = "directory"
    """At the source itself, a folder of the host: nothing is transferred."""
    COPY = "copy"
    """In a copy of the notebook's own, from a remote."""
    GIT = "git"
    """In a clone of the notebook's own."""
    CACHE = "cache"
    """In a read-only copy that notebooks share."""
    SCRATCH = "scratch"
    """In an empty folder that goes with the run."""

    @property
    def pulled(self) -> bool:
        """Whether something has to be brought in."""
        return self in {Place.COPY, Place.GIT, Place.CACHE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A volume as a run has it. ``dirty`` from when a container could write to it until a push succeeded; a dirty
    volume is never pulled over nor removed. Times are aware UTC."""

    id: str
    volume: Volume
    place: Place
    pulled_at: datetime | None = None
    """When its last complete pull ended; one that was never pulled is not pushed."""
    present: bool = False
    """Whether it was brought in for this run."""
    pushed_at: datetime | None = None
    dirty: bool = False
    given_up: bool = False
    """Its owner gave up what was not pushed: the next pull begins with an empty copy."""
    stuck: bool = False
    """No pull brings its copy up to date: only an empty one will do."""
    version: str | None = None
    """Of a shared copy: which."""

    @property
    def pushable(self) -> bool:
        """Whether there may be something to carry back."""
        return self.place is Place.COPY and self.volume.permission.writable and self.pulled_at is not None


def place_of(volume: Volume, directories: Mapping[str, bool]) -> Place:
    """Where the files of ``volume`` will be; ``directories`` says of each datastore whether it is a folder of the
    host."""
    source = volume.source
    if isinstance(source, ScratchSource):
        return Place.SCRATCH
    if not isinstance(source, GitSource) and directories.get(source.alias):
        return Place.DIRECTORY
    if volume.cache:
        return Place.CACHE
    return Place.GIT if isinstance(source, GitSource) else Place.COPY


def attach(
    notebook_id: str, volumes: Sequence[Volume], earlier: Sequence[Attached], directories: Mapping[str, bool]
) -> tuple[Attached, ...]:
    """The volumes of a new run; what is known of the files of ``earlier`` ones is kept."""
    known = {each.id: each for each in earlier}
    attached = []
    for volume in volumes:
        fresh = Attached(id=volume_id(notebook_id, volume), volume=volume, place=place_of(volume, directories))
        before = known.get(fresh.id)
        if before is not None and before.place is fresh.place:
            fresh = replace(before, volume=volume)
        attached.append(fresh)
    return anew(attached)


def anew(attached: Sequence[Attached]) -> tuple[Attached, ...]:
    """``attached`` for a new run: each is brought in again, and the newest of what is shared."""
    return tuple(replace(each, present=False, version=None) for each in attached)


def written(attached: Sequence[Attached]) -> tuple[Attached, ...]:
    """``attached`` from when a container can write to them."""
    return tuple(replace(each, dirty=True) if each.pushable else each for each in attached)
