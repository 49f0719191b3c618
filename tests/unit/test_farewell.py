# SPDX-License-Identifier: Apache-2.0
"""Whom a stop tells, in which order."""

from __future__ import annotations

from notebookd.domain.farewell import Key, Member, Reaction, Word, remaining, words

DIES, HANDLES, IGNORES = Reaction.DIES, Reaction.HANDLES, Reaction.IGNORES
EDITOR = Member(pid=2, started=2, parent=1, session=1, reaction=HANDLES)


def process(pid: int, parent: int, session: int, reaction: Reaction = DIES, *, terminal: bool = False) -> Member:
    return Member(pid=pid, started=pid, parent=parent, session=session, reaction=reaction, terminal=terminal)


class Stop:
    """A stop of these processes; each look tells who is told what."""

    def __init__(self, *members: Member, last: int | None = None) -> None:
        self.members = list(members)
        self.known = {member.key for member in members}
        self.told: dict[Key, Word] = {}
        self.last = last

    def look(self, *, wait: bool = True) -> dict[int, Word]:
        said = words(self.members, self.told, known=self.known, wait=wait, last=self.last)
        self.told |= said
        return {pid: word for (pid, _), word in said.items()}

    def end(self, *pids: int) -> None:
        self.members = [member for member in self.members if member.pid not in pids]

    def left(self) -> set[int]:
        return {member.pid for member in remaining(self.members, last=self.last)}


def terminated(*pids: int) -> dict[int, Word]:
    return dict.fromkeys(pids, Word.TERMINATE)


def test_everybody_is_told_at_once_and_once() -> None:
    stop = Stop(
        EDITOR, process(10, 2, 1), process(20, 1, 20, HANDLES), process(21, 20, 20, HANDLES), process(30, 1, 30)
    )
    assert stop.look() == terminated(2, 10, 20, 21, 30)
    assert stop.look() == {}
    assert stop.left() == {2, 10, 20, 21, 30}


def test_kernel_is_left_to_the_editor_and_told_when_the_editor_is_gone() -> None:
    stop = Stop(EDITOR, process(10, 2, 10), process(11, 10, 10))
    assert stop.look() == terminated(2)
    assert stop.left() == {2}
    stop.end(2)
    stop.members = [process(10, 1, 10), process(11, 10, 10)]  # the init's now
    assert stop.left() == {10, 11}
    assert stop.look() == terminated(10, 11)


def test_kernel_that_handles_the_signal_is_told() -> None:
    assert Stop(EDITOR, process(10, 2, 10, HANDLES)).look() == terminated(2, 10)


def test_editor_waits_for_the_program_in_its_terminal() -> None:
    shell, program = process(10, 2, 10, IGNORES, terminal=True), process(11, 10, 10, HANDLES, terminal=True)
    stop = Stop(EDITOR, shell, program)
    assert stop.look() == terminated(10, 11)
    assert stop.look() == {}
    stop.end(11)
    assert stop.look() == {2: Word.TERMINATE, 10: Word.HANG_UP}


def test_terminal_of_vs_code_is_three_processes_away() -> None:
    server, host = process(3, 2, 1, HANDLES), process(4, 3, 1)
    beside = process(5, 3, 1)
    shell, program = process(10, 4, 10, IGNORES, terminal=True), process(11, 10, 10, HANDLES, terminal=True)
    stop = Stop(EDITOR, server, host, beside, shell, program, process(20, 1, 20, HANDLES))
    assert stop.look() == terminated(10, 11, 20)
    stop.end(11)
    assert stop.look() == {**terminated(2, 3, 4, 5), 10: Word.HANG_UP}


def test_who_waits_is_told_when_the_time_is_over() -> None:
    stop = Stop(EDITOR, process(10, 2, 10, IGNORES, terminal=True), process(11, 10, 10, HANDLES, terminal=True))
    stop.look()
    assert stop.look(wait=False) == terminated(2)


def test_terminal_with_nothing_but_a_shell_holds_up_nobody() -> None:
    stop = Stop(EDITOR, process(10, 2, 10, IGNORES, terminal=True))
    assert stop.look() == terminated(2, 10)
    assert stop.look() == {10: Word.HANG_UP}
    assert stop.look() == {}


def test_loop_in_a_shell_ends_with_what_ran_at_first() -> None:
    shell = process(10, 2, 10, IGNORES, terminal=True)
    stop = Stop(EDITOR, shell, process(11, 10, 10, terminal=True))
    assert stop.look() == terminated(2, 10, 11)
    stop.members = [shell, process(12, 10, 10, terminal=True)]
    assert stop.look() == {10: Word.HANG_UP}


def test_who_ignores_the_signal_without_a_terminal_is_not_hung_up() -> None:
    stop = Stop(EDITOR, process(10, 1, 10, IGNORES))
    stop.look()
    assert stop.look() == {}
    assert stop.left() == {2, 10}


def test_what_a_handler_starts_is_left_alone_until_all_others_ended() -> None:
    stop = Stop(EDITOR, process(10, 1, 10, HANDLES))
    stop.look()
    stop.members.append(process(11, 10, 10))
    assert stop.look() == {}
    stop.end(2, 10)
    assert stop.left() == {11}
    assert stop.look() == terminated(11)


def test_pid_of_somebody_else_by_now_is_no_longer_told() -> None:
    stop = Stop(EDITOR, process(10, 1, 10, HANDLES))
    stop.look()
    stop.members[1] = Member(pid=10, started=99, parent=1, session=10)
    assert stop.look() == {}


def test_editor_that_is_pid_1_is_never_told_here_nor_waited_for() -> None:
    stop = Stop(process(1, 0, 1, HANDLES), process(10, 1, 10), process(20, 1, 20, HANDLES), last=1)
    assert stop.look() == terminated(20)
    assert stop.left() == {20}
    stop.end(20)
    assert stop.left() == set()
