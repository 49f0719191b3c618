# SPDX-License-Identifier: Apache-2.0
"""Who in a container is told to end, in which order.

Everybody gets SIGTERM at once and has the whole grace to end in, with two exceptions, because some end others:

- Who holds a terminal (an editor, a terminal multiplexer) takes the programs in it along: the kernel hangs them up when
  the terminal is gone. Where one of these programs handles SIGTERM, the holder is told after it has ended.
- A process in a session of its own that SIGTERM would just kill, and whose parent handles it, is left to its parent.
  Jupyter interrupts its kernels first, so that a cell may save; SIGTERM would kill the cell.

A shell at its prompt ignores SIGTERM. It is hung up, as when a terminal is lost, once the programs that it ran ended.

What is born after the telling is left alone as long as anybody lives who was there before: it may be what a handler
started to save something with.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

Key = tuple[int, int]
"""A process, whoever has its number later: pid and start time."""


class Reaction(StrEnum):
    """What SIGTERM does to a process."""

    DIES = "dies"
    HANDLES = "handles"
    IGNORES = "ignores"


class Word(StrEnum):
    """What a process is told."""

    TERMINATE = "SIGTERM"
    HANG_UP = "SIGHUP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A living process of a container, other than its init. Numbers are the host's; ``started`` is in ticks since boot.
    ``terminal`` tells whether it has a controlling terminal."""

    pid: int
    started: int
    parent: int
    session: int
    terminal: bool = False
    reaction: Reaction = Reaction.DIES

    @property
    def key(self) -> Key:
        """Its lasting name."""
        return self.pid, self.started


def words(
    members: Sequence[Member], told: Mapping[Key, Word], *, known: Collection[Key], wait: bool, last: int | None = None
) -> dict[Key, Word]:
    """What is to be said now, and to whom.

    ``known`` are those who are to be told; others wait until none of these lives. With ``wait``, holders of terminals
    are told after the programs in them. Process ``last`` is told by somebody else, when this is over.
    """
    by_pid = {member.pid: member for member in members}
    spared = _holders(members, by_pid, known) if wait else frozenset()
    spared |= _left_to_parents(members, by_pid)
    alone = not any(member.key in known and member.pid != last for member in members)
    said: dict[Key, Word] = {}
    for member in members:
        if member.pid == last:
            continue
        if member.key not in told and member.pid not in spared and (alone or member.key in known):
            said[member.key] = Word.TERMINATE
        elif _is_left_shell(member, told) and not _runs_known(member, members, by_pid, known):
            said[member.key] = Word.HANG_UP
    return said


def remaining(members: Sequence[Member], *, last: int | None = None) -> list[Member]:
    """Those for whose end is waited: not who is left to a parent, which is waited for, and not ``last``."""
    left = _left_to_parents(members, {member.pid: member for member in members})
    return [member for member in members if member.pid != last and member.pid not in left]


def _holders(members: Sequence[Member], by_pid: Mapping[int, Member], known: Collection[Key]) -> frozenset[int]:
    """Who holds a terminal with a program in it that handles SIGTERM, and who is in a session with one that does."""
    sessions = {m.session for m in members if m.terminal and m.reaction is Reaction.HANDLES and m.key in known}
    above = {
        ancestor.pid
        for session in sessions
        if session in by_pid
        for ancestor in _ancestors(by_pid[session], by_pid)
        if ancestor.session != session
    }
    theirs = {by_pid[pid].session for pid in above}
    return frozenset(above | {m.pid for m in members if m.session in theirs and not m.terminal})


def _left_to_parents(members: Sequence[Member], by_pid: Mapping[int, Member]) -> frozenset[int]:
    leaders = {member.pid for member in members if _is_led(member, by_pid.get(member.parent))}
    return frozenset(m.pid for m in members if m.session in leaders and _dies_quietly(m))


def _is_led(member: Member, parent: Member | None) -> bool:
    leads = member.pid == member.session and _dies_quietly(member)
    return leads and parent is not None and parent.reaction is Reaction.HANDLES


def _dies_quietly(member: Member) -> bool:
    return not member.terminal and member.reaction is Reaction.DIES


def _is_left_shell(member: Member, told: Mapping[Key, Word]) -> bool:
    """Whether it was told, is at a terminal and does not mind SIGTERM."""
    return member.terminal and member.reaction is Reaction.IGNORES and told.get(member.key) is Word.TERMINATE


def _runs_known(
    member: Member, members: Sequence[Member], by_pid: Mapping[int, Member], known: Collection[Key]
) -> bool:
    return any(other.key in known and member in _ancestors(other, by_pid) for other in members)


def _ancestors(member: Member, by_pid: Mapping[int, Member]) -> Iterator[Member]:
    seen = {member.pid}
    while (parent := by_pid.get(member.parent)) is not None and parent.pid not in seen:
        seen.add(parent.pid)
        yield parent
        member = parent
