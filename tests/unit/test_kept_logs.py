# SPDX-License-Identifier: Apache-2.0
"""Logs past conmon's bound: only the oldest is lost, and that is said."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from notebookd.adapters.podman.kept_logs import STALE_LOOKS, Follower, Logs, read_lines
from notebookd.ports.engine import LogLine

AT = datetime(2026, 12, 1, 5, 0, tzinfo=UTC)
NAME = "notebookd-1"


class Conmon:
    """Writes a log as conmon does: past its size a new file takes the place of the old one."""

    def __init__(self, log: Path, *, rows: int = 10) -> None:
        self.log, self.rows, self.written = log, rows, 0

    def write(self, count: int) -> None:
        for _ in range(count):
            if self.written and self.written % self.rows == 0:
                draft = self.log.with_name(f"{self.log.name}.tmp")
                draft.touch()
                draft.rename(self.log)
            at = (AT + timedelta(seconds=self.written)).strftime("%Y-%m-%dT%H:%M:%S.123456789+00:00")
            with self.log.open("a") as file:
                file.write(f"{at} stdout F line {self.written}\n")
            self.written += 1


class Shown:
    """All that a reader is shown: what is kept from before, then what the engine has."""

    def __init__(self, kept: Logs, log: Path) -> None:
        self.kept, self.log = kept, log

    async def lines(self, *, tail: int | None = None, since: datetime | None = None) -> list[str]:
        async def read(*, follow: bool) -> AsyncIterator[LogLine]:
            assert not follow
            lines = [
                line
                for line in read_lines(self.log.read_bytes().splitlines(keepends=True))
                if since is None or line.at >= since
            ]
            for line in lines if tail is None else lines[max(0, len(lines) - tail) :]:
                yield line

        earlier = [line.content async for line in self.kept.earlier(NAME, read, tail=tail, since=since)]
        return earlier + [line.content async for line in read(follow=False)]


@pytest.fixture
def kept(tmp_path: Path) -> Logs:
    return Logs(tmp_path / "logs")


@pytest.fixture
def conmon(kept: Logs) -> Conmon:
    return Conmon(Path(kept.place(NAME)["path"]))


@pytest.fixture
def shown(kept: Logs, conmon: Conmon) -> Shown:
    return Shown(kept, conmon.log)


def lines(first: int, last: int) -> list[str]:
    return [f"line {number}" for number in range(first, last)]


async def test_past_the_bound_nothing_is_lost_at_first(kept: Logs, conmon: Conmon, shown: Shown) -> None:
    conmon.write(10)
    await kept.hold()
    conmon.write(5)
    assert await shown.lines() == lines(0, 15)
    assert await shown.lines(tail=3) == lines(12, 15)
    assert await shown.lines(tail=8) == lines(7, 15)
    assert await shown.lines(since=AT + timedelta(seconds=9)) == lines(9, 15)


async def test_then_the_oldest_alone_is_lost_and_it_is_said(kept: Logs, conmon: Conmon, shown: Shown) -> None:
    await kept.hold()
    for _ in range(7):
        conmon.write(5)
        await kept.hold()
    first, *rest = await shown.lines()
    assert "what came before this is not kept" in first
    assert rest == lines(20, 35)
    assert sum(each.stat().st_size for each in conmon.log.parent.iterdir() if each.suffix != ".held") < 20 * 60


async def test_what_was_written_while_nobody_looked_is_told_where_it_was(
    kept: Logs, conmon: Conmon, shown: Shown
) -> None:
    conmon.write(5)
    await kept.hold()
    conmon.write(20)
    await Logs(conmon.log.parent).hold()  # another life of the daemon
    seen = await shown.lines()
    assert seen[:10] == lines(0, 10)
    assert "lines may be missing here" in seen[10]
    assert seen[11:] == lines(20, 25)
    conmon.write(6)
    await kept.hold()
    assert not any("may be missing" in each for each in await shown.lines()), "that is gone with what it was in"


async def test_all_goes_with_the_container(kept: Logs, conmon: Conmon) -> None:
    conmon.write(5)
    await kept.hold()
    conmon.write(10)
    await kept.hold()
    for _ in range(STALE_LOOKS):
        await kept.sweep([])
    await kept.sweep([NAME])
    await kept.sweep([])
    assert conmon.log.exists(), "it was there in between"
    for _ in range(STALE_LOOKS):
        await kept.sweep([])
    assert list(conmon.log.parent.iterdir()) == []
    kept.remove(NAME)


async def test_pieces_of_a_line_are_one(tmp_path: Path) -> None:
    stamp = b"2026-12-01T05:00:00.5+00:00"
    rows = [stamp + b" stdout P \xe6\xbc", stamp + b" stderr F other", stamp + b" stdout F \xa2!", b"", b"half a row"]
    assert [(each.stream, each.content) for each in read_lines(rows)] == [
        ("stderr", "other"),
        ("stdout", "漢!"),
    ]


async def test_many_who_take_no_more_hold_little_of_a_log_in_memory(kept: Logs) -> None:
    async def nothing(*, follow: bool) -> AsyncIterator[LogLine]:
        for line in list[LogLine]():
            yield line

    log = Path(kept.place(NAME)["path"])
    log.touch()
    row = "2026-12-01T05:00:00.123456789+00:00 stdout F x\n"
    log.with_suffix(".before").write_text(row * 10_000)
    async with AsyncExitStack() as readers:
        tracemalloc.start()
        try:
            for tail in [None] * 8 + [20_000] * 2:
                lines = await readers.enter_async_context(aclosing(kept.earlier(NAME, nothing, tail=tail)))
                assert (await anext(lines)).content == "x"
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < 8_000_000
    assert [line.content async for line in kept.earlier(NAME, nothing, tail=3)] == ["x"] * 3
    assert len([line async for line in kept.earlier(NAME, nothing)]) == 10_000


def followed(follower: Follower) -> list[str]:
    return [line.content for line in iter_lines(follower)]


def iter_lines(follower: Follower) -> Iterator[LogLine]:
    while lines := follower.read():
        yield from lines


def test_who_follows_reads_the_old_file_to_its_end_before_the_new_one(kept: Logs, conmon: Conmon) -> None:
    conmon.write(3)
    follower = kept.follow(NAME)
    assert follower is not None
    with closing(follower):
        seen = followed(follower)
        for count in (4, 5, 1, 9, 7):
            conmon.write(count)
            seen += followed(follower)
        assert seen == lines(0, 29)


async def test_who_follows_is_told_of_a_file_that_came_and_went_unseen(kept: Logs, conmon: Conmon) -> None:
    conmon.write(3)
    follower = kept.follow(NAME)
    assert follower is not None
    with closing(follower):
        assert followed(follower) == lines(0, 3)
        await kept.hold()
        conmon.write(10)  # a second file
        await kept.hold()
        conmon.write(10)  # and a third
        seen = followed(follower)
    assert seen[:7] == lines(3, 10)
    assert "missing" in seen[7]
    assert seen[8:] == lines(20, 23)


def test_the_last_lines_are_those_that_are_there(kept: Logs, conmon: Conmon) -> None:
    conmon.write(8)
    follower = kept.follow(NAME)
    assert follower is not None
    with closing(follower):
        assert [line.content for line in follower.last(3)] == lines(5, 8)
        conmon.write(1)
        assert followed(follower) == lines(8, 9)
    assert Logs(None).follow(NAME) is None
