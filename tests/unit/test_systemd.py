# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import fcntl
import io
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from notebookd.adapters.logging import is_journal, log_events, set_up_logging
from notebookd.adapters.sqlite import SqliteStore, schema
from notebookd.adapters.systemd import SystemdNotifier, listen_fds, named_listen_fds, watchdog_interval_s
from notebookd.domain.event import Event
from notebookd.ports.notifier import Notifier


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A datagram socket where systemd's would be."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield ear


def test_the_supervisor_hears_what_we_say(supervisor: socket.socket) -> None:
    ours = SystemdNotifier()
    notifier: Notifier = ours
    notifier.ready("serving 3 notebooks")
    notifier.status("café\nREADY=0")
    notifier.watchdog()
    notifier.extend_timeout(5_000_000)
    notifier.stopping()
    ours.close()
    assert [supervisor.recv(512).decode() for _ in range(5)] == [
        "READY=1\nSTATUS=serving 3 notebooks",
        "STATUS=café READY=0",
        "WATCHDOG=1",
        "EXTEND_TIMEOUT_USEC=5000000",
        "STOPPING=1",
    ]


def test_a_reload_is_told_with_its_moment(supervisor: socket.socket) -> None:
    before = time.monotonic_ns() // 1000
    notifier = SystemdNotifier()
    notifier.reloading()
    notifier.close()
    told, moment = supervisor.recv(512).decode().split("\nMONOTONIC_USEC=")
    assert told == "RELOADING=1"
    assert before <= int(moment) <= time.monotonic_ns() // 1000


def test_without_a_supervisor_it_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notifier = SystemdNotifier()
    notifier.ready("nobody listens")
    notifier.close()
    notifier.watchdog()


async def _open(database: Path, notifier: SystemdNotifier) -> None:
    at_work = lambda: notifier.extend_timeout(7)  # noqa: E731
    async with SqliteStore.open(database, datetime(2026, 3, 2, tzinfo=UTC), ballast_bytes=0, at_work=at_work):
        pass


async def test_a_long_migration_is_told_again_and_again(
    supervisor: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500000) SELECT count(*) FROM n"
    longer = [*schema.load_migrations(), f"CREATE TABLE slow AS {numbers};\n"]
    notifier = SystemdNotifier()
    await _open(tmp_path / "notebookd.db", notifier)  # of today's shape
    monkeypatch.setattr(schema, "load_migrations", lambda: longer)
    await _open(tmp_path / "notebookd.db", notifier)
    await _open(tmp_path / "notebookd.db", notifier)  # nothing left to do
    notifier.stopping()
    notifier.close()
    said = []
    while (word := supervisor.recv(512).decode()) != "STOPPING=1":
        said.append(word)
    assert len(said) > 1
    assert set(said) == {"EXTEND_TIMEOUT_USEC=7"}


def test_the_watchdog_is_fed_twice_in_its_time() -> None:
    assert watchdog_interval_s({"WATCHDOG_USEC": "30000000"}) == 15
    assert watchdog_interval_s({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}) == 15
    assert watchdog_interval_s({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}) is None
    assert watchdog_interval_s({"WATCHDOG_USEC": "soon"}) is None
    assert watchdog_interval_s({}) is None


def test_sockets_meant_for_another_process_are_left_alone() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "api", "PATH": "/bin"}
    assert listen_fds(environ) == []
    assert environ == {"PATH": "/bin"}
    assert listen_fds({}) == []
    assert named_listen_fds({"LISTEN_PID": "x", "LISTEN_FDS": "1"}) == []


def test_passed_sockets_arrive_named_and_are_not_passed_on(tmp_path: Path) -> None:
    """In a process of its own, since descriptor 3 of this one is somebody else's."""
    program = """
import os, sys
from notebookd.adapters.systemd import named_listen_fds
os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="api")
passed = named_listen_fds()
for name, each in passed:
    print(name, os.path.basename(each.getsockname()), each.get_inheritable(), each.getblocking())
print(sorted(key for key in os.environ if key.startswith("LISTEN_")), named_listen_fds())
"""
    with socket.socket(socket.AF_UNIX) as api, socket.socket(socket.AF_UNIX) as other:
        for each, name in ((api, "one"), (other, "two")):
            each.bind(str(tmp_path / name))
            each.listen()
        numbers = [fcntl.fcntl(each, fcntl.F_DUPFD, 50) for each in (api, other)]
        try:
            done = subprocess.run(
                [sys.executable, "-c", program, *map(str, numbers)],
                pass_fds=numbers,
                capture_output=True,
                text=True,
                check=True,
            )
        finally:
            for number in numbers:
                os.close(number)
    assert done.stdout.splitlines() == ["api one False False", "unknown two False False", "[] []"]


@pytest.fixture
def _root_logger() -> Iterator[None]:
    root, access = logging.getLogger(), logging.getLogger("aiohttp.access")
    before = root.handlers[:], root.level, access.level
    yield
    root.handlers[:], root.level, access.level = before


@pytest.mark.usefixtures("_root_logger")
def test_the_journal_gets_a_priority_on_every_line(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w") as stream:
        status = os.fstat(stream.fileno())
        environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        set_up_logging(stream=stream, environ=environ, journal=tmp_path / "absent")
        log = logging.getLogger("notebookd.reconciler")
        log.info("granted", extra={"notebook": "n1", "gpu": "GPU-1"})
        log.warning("two\nlines")
        try:
            (tmp_path / "absent").stat()
        except OSError:
            log.exception("cannot start")
        log.debug("not shown")
    lines = (tmp_path / "journal").read_text().splitlines()
    assert lines[:3] == [
        "<6>notebookd.reconciler: granted notebook=n1 gpu=GPU-1",
        "<4>notebookd.reconciler: two",
        "<4>lines",
    ]
    assert lines[-1].startswith("<3>FileNotFoundError: ")
    assert all(line.startswith("<3>") for line in lines[3:])


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """A datagram socket where the journal's would be, and a log that goes to it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear, (tmp_path / "stderr").open("w") as stream:
        ear.bind(str(tmp_path / "journal"))
        ear.settimeout(5)
        status = os.fstat(stream.fileno())
        environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        set_up_logging(stream=stream, environ=environ, journal=tmp_path / "journal")
        yield ear
        logging.getLogger().handlers[0].close()


@pytest.mark.usefixtures("_root_logger")
def test_the_journal_gets_what_a_line_is_about_as_fields(journal: socket.socket) -> None:
    logging.getLogger("notebookd.event").warning(
        "went café\nand on", extra={"notebook": "n1", "actor": "alice", "event": "notebook.state", "gpu": None}
    )
    entry = journal.recv(4096)
    message = "notebookd.event: went café\nand on notebook=n1 actor=alice event=notebook.state".encode()
    assert entry.startswith(b"MESSAGE\n" + len(message).to_bytes(8, "little") + message + b"\nPRIORITY=4\n")
    fields = dict(line.split("=", 1) for line in entry.decode().splitlines() if "=" in line)
    assert (
        fields.items()
        >= {
            "PRIORITY": "4",
            "SYSLOG_IDENTIFIER": "notebookd",
            "LOGGER": "notebookd.event",
            "NOTEBOOK_ID": "n1",
            "ACTOR": "alice",
            "EVENT": "notebook.state",
        }.items()
    )
    assert "GPU" not in fields


@pytest.mark.usefixtures("_root_logger")
def test_an_entry_too_long_for_a_datagram_arrives_all_the_same(journal: socket.socket) -> None:
    journal.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    long = "x" * 4_000_000
    logging.getLogger("notebookd").error(long)
    _data, (descriptor,), _flags, _address = socket.recv_fds(journal, 16, 1)
    with os.fdopen(descriptor, "rb") as passed:
        passed.seek(0)
        assert passed.read().startswith(f"MESSAGE=notebookd: {long}\nPRIORITY=3\n".encode())


@pytest.mark.usefixtures("_root_logger")
def test_a_line_that_the_journal_does_not_take_goes_to_stderr(journal: socket.socket, tmp_path: Path) -> None:
    (tmp_path / "journal").unlink()
    logging.getLogger("notebookd").error("no", extra={"owner": "alice"})
    assert (tmp_path / "stderr").read_text() == "<3>notebookd: no owner=alice\n"


async def test_every_event_is_logged_with_its_actor(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    at = datetime(2026, 3, 2, 10, tzinfo=UTC)
    caplog.set_level(logging.INFO)
    async with SqliteStore.open(tmp_path / "notebookd.db", at, ballast_bytes=0) as store:
        async with store.transaction() as tx:
            await tx.append(Event(type="gpu.drained", at=at, actor="earlier"))
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(log_events(store))
            await tasks.create_task(_append(store, Event(type="gpu.drained", at=at, actor="root")))
            while not caplog.records:
                await store.next_event(0)
            telling.cancel()
    (record,) = caplog.records
    assert (record.getMessage(), record.__dict__["event"], record.__dict__["actor"]) == (
        "gpu.drained",
        "gpu.drained",
        "root",
    )


async def _append(store: SqliteStore, event: Event) -> None:
    async with store.transaction() as tx:
        await tx.append(event)


@pytest.mark.usefixtures("_root_logger")
def test_people_get_a_time_and_a_level() -> None:
    stream = io.StringIO()
    set_up_logging(stream=stream, environ={"JOURNAL_STREAM": "1:2"})
    logging.getLogger("notebookd").error("no", extra={"owner": "alice"})
    assert stream.getvalue().endswith(" ERROR notebookd: no owner=alice\n")
    assert stream.getvalue().startswith("20")


def test_a_stream_that_is_not_the_journals_is_not_taken_for_it(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as stream:
        assert not is_journal(stream, {"JOURNAL_STREAM": "8:1"})
        assert not is_journal(stream, {})
