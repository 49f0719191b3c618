# SPDX-License-Identifier: Apache-2.0
"""The real /proc at its edges: a pid used again, other people's processes, cgroups; some of it made up in a folder."""

from __future__ import annotations

import os
import pickle
import pwd
import subprocess
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from notebookd.adapters.processes import SystemProcesses, parse_stat
from notebookd.ports.processes import ProcessFacts

ID, OTHER_ID = "0123456789abcdef" * 4, "f" * 64
PID = 4321
STAT = b"4321 (python3) S 9 1 1 0 -1 4194560 1 2 0 0 3 4 0 0 20 0 5 0 369016 2322432 332\n"
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several accounts")


def made_up(folder: Path, *, stat: bytes = STAT, cgroup: str = "0::/\n") -> SystemProcesses:
    """A /proc with one process."""
    (folder / str(PID)).mkdir()
    (folder / str(PID) / "stat").write_bytes(stat)
    (folder / str(PID) / "cgroup").write_text(cgroup)
    return SystemProcesses(folder)


@contextmanager
def sleeper(*prefix: str) -> Iterator[int]:
    with subprocess.Popen([*prefix, "sh", "-c", "echo; read -r _"], stdin=-1, stdout=-1) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def look_as(account: str, pids: Collection[int]) -> Mapping[int, ProcessFacts]:
    """What that account sees."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            who = pwd.getpwnam(account)
            os.setgroups([])
            os.setresgid(who.pw_gid, who.pw_gid, who.pw_gid)
            os.setresuid(who.pw_uid, who.pw_uid, who.pw_uid)
            os.write(writer, pickle.dumps(SystemProcesses().look(pids)))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        seen: Mapping[int, ProcessFacts] = pickle.load(answer)
    os.waitpid(child, 0)
    return seen


@as_root
def test_somebody_elses_process_is_named_but_for_its_namespace() -> None:
    with sleeper("setpriv", "--reuid", "nobody", "--clear-groups") as pid:
        facts = look_as("daemon", [pid])[pid]
        assert (facts.user, facts.command, facts.pid_namespace) == ("nobody", "sh", None)
        (mine,) = SystemProcesses().look([pid]).values()
        assert (mine.started, mine.user) == (facts.started, "nobody")
        assert mine.pid_namespace is not None


@as_root
def test_an_account_without_a_name_is_its_number() -> None:
    with sleeper("setpriv", "--reuid", "3123456789", "--clear-groups") as pid:
        assert SystemProcesses().look([pid])[pid].user == "3123456789"


def test_a_process_that_ended_and_was_not_collected_is_left_out() -> None:
    child = os.posix_spawnp("true", ["true"], {})
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    try:
        assert Path(f"/proc/{child}/stat").exists()
        assert SystemProcesses().look([child]) == {}
    finally:
        os.waitpid(child, 0)


def test_a_pid_used_again_between_reads_mixes_no_two_processes() -> None:
    """The folder is open when the process ends and another gets its number."""
    with sleeper() as pid:
        folder = os.open(f"/proc/{pid}", os.O_PATH)
    try:
        with _again(pid), pytest.raises((FileNotFoundError, ProcessLookupError)):
            SystemProcesses().describe(pid, folder)
    finally:
        os.close(folder)


@contextmanager
def _again(pid: int) -> Iterator[None]:
    """A process of that pid, where the kernel lets us ask for one."""
    for _ in range(20):
        try:
            LAST_PID.write_text(str(pid - 1))
        except OSError as error:
            pytest.skip(f"cannot choose a pid here: {error}")
        with sleeper() as now:
            if now == pid:
                assert set(SystemProcesses().look([pid])) == {pid}
                yield
                return
    pytest.skip("others were quicker to take the pid")


@pytest.mark.parametrize(
    ("cgroup", "container"),
    [
        (f"0::/user.slice/user-991.slice/user@991.service/user.slice/libpod-{ID}.scope\n", ID),
        (f"0::/user.slice/libpod-{ID}.scope/container\n", ID),
        (f"0::/libpod_parent/libpod-{ID}\n", ID),
        (f"12:pids:/\n1:name=systemd:/libpod-{ID}\n0::/\n", ID),
        (f"0::/libpod-{ID}.scope/nested/libpod-{OTHER_ID}.scope\n", ID),
        (f"0::/libpod-{ID}.scope (deleted)\n", ID),
        (f"0::/../../libpod-{ID}.scope", ID),
        (f"0::/user.slice/libpod-conmon-{ID}.scope\n", None),
        (f"0::/user.slice/libpod-{ID[:-1]}.scope\n", None),
        (f"0::/user.slice/libpod-{ID}0.scope\n", None),
        (f"0::/user.slice/libpod-{ID.upper()}.scope\n", None),
        (f"0::/user.slice/my-libpod-{ID}.scope\n", None),
        (f"0::/libpod-{ID}.scope.d\n", None),
        ("0::/system.slice/docker-0123.scope\n", None),
        ("", None),
    ],
)
def test_the_container_is_read_from_the_cgroup(tmp_path: Path, cgroup: str, container: str | None) -> None:
    facts = made_up(tmp_path, cgroup=cgroup).look([PID])[PID]
    assert (facts.container_id, facts.started, facts.pid_namespace) == (container, 369016, None)


def test_a_cgroup_without_end_is_read_in_part(tmp_path: Path) -> None:
    processes = made_up(tmp_path, cgroup="0::/" + "x" * 1_000_000 + f"/libpod-{ID}.scope\n")
    assert processes.look([PID])[PID].container_id is None


@pytest.mark.parametrize("stat", [b"", b"4321", b"4321 (sh", b"4321 (sh) S 1", STAT.replace(b"369016", b"soon")])
def test_a_stat_that_makes_no_sense_is_no_process(tmp_path: Path, stat: bytes) -> None:
    assert made_up(tmp_path, stat=stat).look([PID]) == {}


def test_a_name_may_be_any_bytes(tmp_path: Path) -> None:
    processes = made_up(tmp_path, stat=STAT.replace(b"python3", b"\xff\xfe) R (\x9b2J"))
    assert processes.look([PID])[PID].command == "\ufffd\ufffd) R (\ufffd2J"


def test_stat_of_a_name_with_spaces_and_parentheses_is_read() -> None:
    stat = parse_stat(b"12 (a) S 9 (b) R 7 1 1 0 -1 4194560 1 2 0 0 3 4 0 0 20 0 5 0 369016 2322432 332")
    assert (stat.name, stat.state, stat.ppid, stat.threads, stat.start_ticks) == (b"a) S 9 (b", "R", 7, 5, 369016)
    assert stat.cpu_ticks == 3 + 4, "its own and its children's"


def test_a_first_thread_that_ended_before_the_others_is_a_process(tmp_path: Path) -> None:
    zombie = STAT.replace(b") S ", b") Z ")
    assert set(made_up(tmp_path, stat=zombie).look([PID])) == {PID}


@pytest.mark.parametrize(
    ("cgroup", "events", "kills"),
    [
        ("0::/user.slice/libpod-1.scope/container\n", "low 0\noom 3\noom_kill 2\noom_group_kill 0\n", 2),
        ("12:memory:/x\n0::/user.slice/libpod-1.scope/container\n", "oom_kill 0\n", 0),
        ("12:memory:/x\n", "oom_kill 2\n", None),
        ("0::/elsewhere\n", "oom_kill 2\n", None),
        ("0::/user.slice/libpod-1.scope/container\n", "nothing known\n", None),
    ],
)
def test_kills_for_memory_are_those_of_the_cgroup(tmp_path: Path, cgroup: str, events: str, kills: int | None) -> None:
    (tmp_path / "proc/77").mkdir(parents=True)
    (tmp_path / "proc/77/cgroup").write_text(cgroup)
    group = tmp_path / "cgroup/user.slice/libpod-1.scope/container"
    group.mkdir(parents=True)
    (group / "memory.events").write_text(events)
    seen = SystemProcesses(tmp_path / "proc", cgroups=tmp_path / "cgroup")
    assert seen.oom_kills(77) == kills
    assert seen.oom_kills(78) is None
