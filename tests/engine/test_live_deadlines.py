# SPDX-License-Identifier: Apache-2.0
"""The clock of a real notebook: seven days, the end on time, auto-restart, extensions, warnings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from notebookd import wire
from notebookd.client import Refused
from tests.engine.live import Machine, eventually, odd_configuration, open_folder, quickstart, root

pytestmark = pytest.mark.engine

BRIEF_S = 6.0
WARNED_BEFORE_S = 4
NOTICE = "/workspace/NOTICE.notebookd.timeout.txt"
PUNCTUAL = timedelta(seconds=1)
NO_TIME = timedelta()
TOY = ("toy", "odd")


@contextmanager
def machine_with(folder: Path, **lifecycle: str | list[str]) -> Iterator[Machine]:
    """A notebookd of toy editors and this ``[lifecycle]``."""
    config = folder / "notebookd.toml"
    config.write_text(odd_configuration(start_timeout="60s", **lifecycle))
    with quickstart("--gpus", "4", "--config", str(config)) as machine:
        yield machine


@pytest.fixture(scope="module")
def brief_machine(outer: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One more notebookd, on which notebooks run for seconds."""
    with machine_with(
        tmp_path_factory.mktemp("brief"),
        max_running=f"{BRIEF_S:.0f}s",
        max_extension="30s",
        warn_before=[f"{WARNED_BEFORE_S}s"],
    ) as machine:
        yield machine


@pytest.fixture
def brief(brief_machine: Machine) -> Iterator[Machine]:
    """The one of seconds, put in order after each test."""
    yield brief_machine
    brief_machine.clean_up()


def job(machine: Machine, notebook: str) -> wire.JobStatus:
    found = machine.get(notebook).status.last_job_status
    assert found is not wire.UNSET
    return found


def times(machine: Machine, notebook: str, state: str) -> list[datetime]:
    """When its run entered a state."""
    return [wire.parse_rfc3339(each.date) for each in job(machine, notebook).history if each.state == state]


def deadline(machine: Machine, notebook: str) -> datetime:
    timeout_at = job(machine, notebook).timeout_at
    assert timeout_at is not wire.UNSET
    return wire.parse_rfc3339(timeout_at)


def sleep_until(at: datetime) -> None:
    time.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()))


def await_restart(machine: Machine, notebook: str, count: int = 1) -> None:
    """Wait until it runs again after so many restarts."""
    eventually(
        lambda: [each.state for each in job(machine, notebook).history],
        lambda seen: seen.count("RESTARTING") == count and seen[-1] == "RUNNING",
        within_s=BRIEF_S + 20,
        what="the restart",
    )


def assert_timed_out(machine: Machine, notebook: str, at: datetime) -> None:
    """It was stopped on time and because of it."""
    ended = machine.await_state(notebook, "STOPPED", within_s=BRIEF_S + 30)
    run = job(machine, notebook)
    assert run.state == "TIMEOUT"
    assert isinstance(run.info, wire.Info)
    assert run.info.code == "JOB_TIMEOUT"
    assert ended.status.info is wire.UNSET or ended.status.info.code == "JOB_TIMEOUT"
    (fired,) = times(machine, notebook, "INTERRUPTING")
    assert NO_TIME <= fired - at <= PUNCTUAL
    assert notebook not in machine.containers()
    assert notebook not in machine.leases().values()


def stays(machine: Machine, notebook: str) -> list[tuple[datetime, datetime | None, int]]:
    """Beginning, end and minutes of each stay that its latest run is billed for."""
    found = machine.client.receipt(notebook).value.stays
    return [
        (
            wire.parse_rfc3339(each.started_at),
            None if each.ended_at is wire.UNSET else wire.parse_rfc3339(each.ended_at),
            each.minutes.value,
        )
        for each in found
    ]


def assert_billed_until(machine: Machine, notebook: str, at: datetime) -> None:
    ((begun, ended, minutes),) = stays(machine, notebook)
    assert begun == times(machine, notebook, "RUNNING")[0]
    assert ended is not None
    assert abs(ended - at) <= timedelta(milliseconds=50)
    assert minutes == 1


def warnings(machine: Machine, notebook: str) -> list[int]:
    """How many seconds before the end each warning came."""
    events = [each.value for each in machine.client.events(notebook=notebook)]
    found = [each.details for each in events if each.type == "notebook.warning"]
    return [details["leftSeconds"] for details in found if isinstance(details, dict) and details["reason"] == "timeout"]


def test_as_shipped_a_notebook_runs_for_seven_days(live: Machine) -> None:
    notebook = live.run()
    (started,) = times(live, notebook, "RUNNING")
    assert deadline(live, notebook) - started == timedelta(seconds=604_800)
    assert job(live, notebook).started_at == wire.rfc3339(started)
    (named,) = live.client.why(notebook).value.deadlines
    assert (named.reason, wire.parse_rfc3339(named.at)) == ("timeout", deadline(live, notebook))


def test_after_twenty_seconds_one_is_stopped_and_one_is_restarted_as_it_is(outer: Machine, tmp_path: Path) -> None:
    with machine_with(tmp_path, max_running="20s") as machine:
        stopped, restarted = machine.run(*TOY), machine.run(*TOY, auto_restart=True)
        ends, first_end = deadline(machine, stopped), deadline(machine, restarted)
        assert ends - times(machine, stopped, "RUNNING")[0] == timedelta(seconds=20)
        before, gpu = machine.container(restarted), machine.leases()
        machine.execute(restarted, "sh", "-c", "echo kept | tee /workspace/file > /tmp/file")

        assert_timed_out(machine, stopped, ends)
        states = [each.state for each in job(machine, stopped).history]
        assert states[-4:] == ["RUNNING", "INTERRUPTING", "FINALIZING", "TIMEOUT"]
        assert_billed_until(machine, stopped, ends)

        await_restart(machine, restarted)
        (fired,), (_, again) = times(machine, restarted, "RESTARTING"), times(machine, restarted, "RUNNING")
        assert NO_TIME <= fired - first_end <= PUNCTUAL
        assert deadline(machine, restarted) - again == timedelta(seconds=20)
        after = machine.container(restarted)
        assert after["Id"] == before["Id"]
        assert after["State"]["StartedAt"] != before["State"]["StartedAt"]
        assert {uuid for uuid, who in machine.leases().items() if who == restarted} == {
            uuid for uuid, who in gpu.items() if who == restarted
        }
        assert machine.execute(restarted, "cat", "/workspace/file", "/tmp/file") == "kept\nkept\n"

        (first, second) = stays(machine, restarted)
        assert first[1] is not None
        assert abs(first[1] - first_end) <= timedelta(milliseconds=50), "the restart itself is not billed"
        assert (second[0], second[1], first[2] + second[2]) == (again, None, 2)
        machine.clean_up()


def test_auto_restart_may_be_switched_on_a_running_notebook(brief: Machine) -> None:
    stays_up, goes_down = brief.run(*TOY), brief.run(*TOY, auto_restart=True)
    brief.client.patch_notebook(stays_up, wire.NotebookPatch(timeout_auto_restart=True))
    brief.client.patch_notebook(goes_down, wire.NotebookPatch(timeout_auto_restart=False))
    assert "restarted as it is" in brief.client.why(stays_up).value.deadlines[0].why
    assert_timed_out(brief, goes_down, deadline(brief, goes_down))
    await_restart(brief, stays_up)
    brief.client.patch_notebook(stays_up, wire.NotebookPatch(timeout_auto_restart=False))
    assert_timed_out(brief, stays_up, deadline(brief, stays_up))
    assert [minutes for _, _, minutes in stays(brief, stays_up)] == [1, 1]


def test_a_deadline_that_passed_while_the_daemon_was_dead_fires_at_its_start(brief: Machine) -> None:
    stopped, restarted = brief.run(*TOY), brief.run(*TOY, auto_restart=True)
    ends, first_end = deadline(brief, stopped), deadline(brief, restarted)
    container = brief.container(restarted)["Id"]
    brief.kill_daemon()
    sleep_until(max(ends, first_end) + timedelta(seconds=2))
    began = datetime.now(UTC)
    brief.service("start", "daemon")
    ready = datetime.now(UTC)
    brief.await_state(stopped, "STOPPED", within_s=20)
    await_restart(brief, restarted)
    (fired,), (restart,) = times(brief, stopped, "INTERRUPTING"), times(brief, restarted, "RESTARTING")
    for moment in (fired, restart):
        assert began < moment < ready + PUNCTUAL
    assert job(brief, stopped).state == "TIMEOUT"
    assert_billed_until(brief, stopped, ends)
    assert brief.container(restarted)["Id"] == container
    first, second = stays(brief, restarted)
    assert first[1] is not None
    assert abs(first[1] - first_end) <= timedelta(milliseconds=50)
    assert second[0] == times(brief, restarted, "RUNNING")[1]


def test_without_the_engine_a_deadline_waits_and_costs_nothing(brief: Machine) -> None:
    notebook = brief.run(*TOY)
    ends = deadline(brief, notebook)
    brief.service("kill", "engine")
    sleep_until(ends + timedelta(seconds=1.5))
    assert brief.state(notebook) == "RUNNING"
    brief.service("start", "engine")
    brief.await_state(notebook, "STOPPED", within_s=30)
    assert job(brief, notebook).state == "TIMEOUT"
    assert_billed_until(brief, notebook, ends)


def test_an_extension_moves_the_end_and_takes_the_notice_back(brief: Machine) -> None:
    notebook = brief.run(*TOY)
    ends, before = deadline(brief, notebook), brief.container(notebook)["State"]
    eventually(lambda: warnings(brief, notebook), bool, within_s=BRIEF_S, what="a warning")
    moved = wire.parse_rfc3339(brief.client.extend_notebook(notebook, duration="6s").value.timeout_at)
    assert moved == deadline(brief, notebook) == ends + timedelta(seconds=6)
    assert brief.ctl("exec", notebook, "--", "cat", NOTICE).returncode == 1, "the notice is taken back"
    (started,) = times(brief, notebook, "RUNNING")
    latest = started + timedelta(seconds=30)
    for wish in ({"duration": "1h"}, {"until": wire.rfc3339(latest + PUNCTUAL)}, {"until": wire.rfc3339(ends)}):
        with pytest.raises(Refused) as refused:
            brief.client.extend_notebook(notebook, **wish)
        assert (refused.value.status, refused.value.code) == (400, "invalid-request")
    sleep_until(ends + PUNCTUAL)
    assert brief.state(notebook) == "RUNNING"
    assert brief.container(notebook)["State"]["StartedAt"] == before["StartedAt"], "nobody touched it"
    assert_timed_out(brief, notebook, moved)
    assert warnings(brief, notebook) == [WARNED_BEFORE_S, WARNED_BEFORE_S]
    assert_billed_until(brief, notebook, moved)


def test_who_works_in_a_notebook_is_told_of_its_end(brief: Machine) -> None:
    notebook = brief.run(*TOY)
    ends = deadline(brief, notebook)
    sleep_until(ends - timedelta(seconds=WARNED_BEFORE_S) + PUNCTUAL / 2)
    text = brief.execute(notebook, "sh", "-c", f"cat {NOTICE} && rm {NOTICE} && ls /workspace")
    assert f"At {ends:%Y-%m-%d %H:%M} UTC its longest running time is up: it is stopped." in text
    assert text.endswith("To change that: notebookctl extend, or patch --restart-on-timeout.\n"), (
        "and it may be removed"
    )
    assert warnings(brief, notebook) == [WARNED_BEFORE_S]
    assert_timed_out(brief, notebook, ends)
    brief.start(notebook)
    brief.client.extend_notebook(notebook, duration="12s")  # or a busy machine has its own notice by now
    eventually(
        lambda: brief.execute(notebook, "ls", "/workspace"),
        lambda seen: seen == "",
        what="a run without the last one's notice",
    )


def test_a_hostile_workspace_takes_nothing_from_the_host_and_gains_no_time(brief: Machine) -> None:
    with open_folder() as folder:
        secret = folder / "secret"
        secret.write_text("the host's")
        root("chown", "notebookd", str(secret))
        kinds = {
            "link": f"ln -s {secret} {NOTICE}",
            "fifo": f"mkfifo {NOTICE}",
            "folder": f"mkdir -p {NOTICE}/full",
            "locked": f"touch {NOTICE}; chmod 0 {NOTICE}",
        }
        made = {}
        for kind in kinds:
            made[kind] = brief.run(*TOY)
            brief.client.extend_notebook(made[kind], duration="12s")  # time enough for all of them
        for kind, deed in kinds.items():
            brief.execute(made[kind], "sh", "-c", deed)
        ends = {kind: deadline(brief, notebook) for kind, notebook in made.items()}
        sleep_until(max(ends.values()) - timedelta(seconds=WARNED_BEFORE_S) + PUNCTUAL / 2)
        found = {kind: brief.workspace(notebook) / Path(NOTICE).name for kind, notebook in made.items()}
        told = {kind: root("stat", "-c", "%F", str(place)).strip() for kind, place in found.items()}
        assert told == dict.fromkeys(("link", "fifo", "locked"), "regular file") | {"folder": "directory"}
        for kind, notebook in made.items():
            assert_timed_out(brief, notebook, ends[kind])
            assert warnings(brief, notebook) == [WARNED_BEFORE_S]
        assert secret.read_text() == "the host's"
