# SPDX-License-Identifier: Apache-2.0
"""Whose process a pid is, on a /proc that the tests write."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from notebookd.adapters.podman.liveness import Liveness, kill_process, read_stat
from notebookd.adapters.podman.translate import Inspected
from notebookd.errors import EngineUnavailable

BOOT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
TICKS = os.sysconf("SC_CLK_TCK")
ID = "ab" * 32
PID, CONMON = 500, 400


class Proc:
    """A /proc with the processes that a test puts into it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "stat").write_text(f"cpu 1 2 3\nbtime {int(BOOT.timestamp())}\n")

    def put(
        self,
        pid: int,
        *,
        age_s: float = 60.0,
        ppid: int = 1,
        state: str = "S",
        threads: int = 1,
        command: str = "sleep 9",
        mounts: str = "",
    ) -> None:
        folder = self.root / str(pid)
        folder.mkdir(exist_ok=True)
        ticks = int(age_s * TICKS)
        between = " ".join(["0"] * 15)
        (folder / "stat").write_text(f"{pid} (a) b (c) {state} {ppid} {between} {threads} 0 {ticks} 0 0\n")
        (folder / "cmdline").write_bytes(command.replace(" ", "\0").encode() + b"\0")
        (folder / "mountinfo").write_text(mounts)

    def end(self, pid: int) -> None:
        for file in (self.root / str(pid)).iterdir():
            file.unlink()
        (self.root / str(pid)).rmdir()


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def container(*, started_s: float = 60.0, pid: int = PID) -> Inspected:
    return Inspected(
        id=ID,
        name="notebookd-x",
        labels={},
        state="running",
        image_digest=None,
        pid=pid,
        conmon_pid=CONMON,
        started_at=BOOT + timedelta(seconds=started_s),
        finished_at=None,
        exit_code=0,
    )


def test_own_process_is_read_from_the_real_proc() -> None:
    stat = read_stat(os.getpid())
    assert stat is not None
    assert stat.ppid == os.getppid()


def test_a_process_whose_name_is_no_text_is_read(proc: Proc) -> None:
    proc.put(PID, age_s=59.0)
    stat = proc.root / str(PID) / "stat"
    stat.write_bytes(stat.read_bytes().replace(b"(", b"(\xff", 1))
    assert read_stat(PID, proc.root) is not None


def test_process_begun_with_the_container_is_the_containers(proc: Proc) -> None:
    proc.put(PID, age_s=59.0)
    assert Liveness(proc.root).process(container()) is not None


def test_absent_process_is_gone(proc: Proc) -> None:
    assert Liveness(proc.root).process(container()) is None
    assert Liveness(proc.root).process(container(pid=0)) is None


def test_zombie_is_gone_unless_other_threads_go_on(proc: Proc) -> None:
    proc.put(PID, state="Z")
    assert Liveness(proc.root).process(container()) is None
    proc.put(PID, state="Z", threads=2)
    assert Liveness(proc.root).process(container()) is not None


def test_recycled_pid_is_not_the_containers_at_first_sight(proc: Proc) -> None:
    proc.put(PID, age_s=600.0)
    assert Liveness(proc.root).process(container()) is None


def test_recycled_pid_is_not_the_containers_after_it_was_seen(proc: Proc) -> None:
    liveness = Liveness(proc.root)
    proc.put(PID, age_s=59.0)
    assert liveness.process(container()) is not None
    proc.put(PID, age_s=61.0, mounts=f"1 2 /x/overlay-containers/{ID}/userdata/hosts /etc/hosts")
    assert liveness.process(container()) is None


def test_process_of_the_next_start_is_the_containers(proc: Proc) -> None:
    liveness = Liveness(proc.root)
    proc.put(PID, age_s=59.0)
    assert liveness.process(container()) is not None
    proc.put(PID + 1, age_s=99.0)
    assert liveness.process(container(started_s=100.0, pid=PID + 1)) is not None


def test_clock_step_does_not_lose_a_process_whose_conmon_lives(proc: Proc) -> None:
    proc.put(PID, age_s=59.0, ppid=CONMON)
    proc.put(CONMON, command=f"/usr/bin/conmon --api-version 1 -c {ID}")
    assert Liveness(proc.root).process(container(started_s=9000.0)) is not None


def test_clock_step_does_not_lose_a_process_in_the_containers_mounts(proc: Proc) -> None:
    proc.put(PID, age_s=59.0, mounts=f"97 1 254:0 /run/containers/overlay-containers/{ID}/userdata/hosts /etc/hosts rw")
    assert Liveness(proc.root).process(container(started_s=9000.0)) is not None


def test_conmon_is_known_by_its_command_line(proc: Proc) -> None:
    liveness = Liveness(proc.root)
    assert not liveness.conmon_alive(container())
    proc.put(CONMON, command=f"/usr/bin/conmon -c {'cd' * 32}")
    assert not liveness.conmon_alive(container())
    proc.put(CONMON, command=f"grep conmon {ID}")
    assert not liveness.conmon_alive(container())
    proc.put(CONMON, command=f"/usr/bin/conmon -c {ID}")
    assert liveness.conmon_alive(container())
    proc.end(CONMON)
    assert not liveness.conmon_alive(container())


def test_proc_that_will_not_tell_is_unknown_not_gone(proc: Proc) -> None:
    (proc.root / str(PID)).mkdir()
    (proc.root / str(PID) / "stat").mkdir()  # reading it fails with neither "no file" nor "no process"
    with pytest.raises(EngineUnavailable):
        Liveness(proc.root).process(container())


def child(script: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", f"{script}\nprint(flush=True)\nimport time\ntime.sleep(60)"], stdout=-1
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.mark.parametrize(
    ("script", "grace_s", "by"),
    [
        ("", 10, signal.SIGTERM),
        ("", 0, signal.SIGKILL),
        ("import signal; signal.signal(15, signal.SIG_IGN)", 0.1, signal.SIGKILL),
    ],
)
def test_process_is_asked_then_killed(script: str, grace_s: float, by: signal.Signals) -> None:
    with child(script) as process:
        stat = read_stat(process.pid)
        assert stat is not None
        assert kill_process(process.pid, stat, grace_s=grace_s)
        assert process.wait() == -by


def test_later_owner_of_a_pid_is_not_killed() -> None:
    with child("") as process:
        stat = read_stat(process.pid)
        assert stat is not None
        earlier = replace(stat, start_ticks=stat.start_ticks - 1)
        assert kill_process(process.pid, earlier, grace_s=0)
        assert process.poll() is None
        process.kill()


@pytest.mark.parametrize(
    ("command", "attends"),
    [
        (f"/usr/bin/conmon -c {ID} -n x", True),
        (f"/usr/bin/podman --root /x container cleanup {ID}", True),
        (f"/usr/bin/conmon -c {'cd' * 32} -n x", False),
        (f"/usr/bin/conmon -c {ID} --exec-attach --exec-process-spec /x", False),
        (f"/usr/bin/podman --root /x container cleanup --exec {'cd' * 32} {ID}", False),
        (f"/usr/bin/podman logs {ID}", False),
        (f"/usr/bin/conmon -c {ID[:12]}", False),
    ],
)
def test_attended_is_what_conmon_or_a_cleanup_is_there_for(proc: Proc, command: str, attends: bool) -> None:
    proc.put(7)
    proc.put(CONMON, command=command)
    assert Liveness(proc.root).attended(ID, by=os.getuid()) is attends
    assert not Liveness(proc.root).attended(ID, by=os.getuid() + 1)
    assert not Liveness(proc.root).attended(ID, by=os.getuid(), but=CONMON)
    proc.put(CONMON, command=command, state="Z")
    assert not Liveness(proc.root).attended(ID, by=os.getuid())
