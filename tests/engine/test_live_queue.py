# SPDX-License-Identifier: Apache-2.0
"""A crowd in front of eight GPUs: real concurrent requests of plain members, real containers, creation order."""

from __future__ import annotations

import grp
import json
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from notebookd import wire
from tests.engine.live import Machine, eventually, odd_configuration, quickstart, root

pytestmark = pytest.mark.engine

GPUS = 8
CROWD = 200
UNBOUND, BOUND, OTHER = "nobody", "games", "news"
"""Accounts that every Debian has: one whose quota the configuration lifts, and two with two GPUs each."""
UIDS = {UNBOUND: "65534", BOUND: "5", OTHER: "9"}
QUOTAS = f"""
[quota]
gpus = 2
[quota.user.{UNBOUND}]
gpus = 1000
notebooks = 1000
"""


@pytest.fixture(scope="module")
def busy_machine(outer: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    config = tmp_path_factory.mktemp("queue") / "notebookd.toml"
    config.write_text(f"{QUOTAS}{odd_configuration(start_timeout='60s')}")
    with quickstart("--gpus", str(GPUS), "--config", str(config)) as machine:
        yield machine


@pytest.fixture
def machine(busy_machine: Machine) -> Iterator[Machine]:
    """Eight free GPUs."""
    yield busy_machine
    busy_machine.clean_up()


@dataclass(frozen=True, slots=True)
class Reply:
    """What a member was answered."""

    status: int
    body: dict[str, Any]


def ask(machine: Machine, owner: str, *, gpus: int = 1, times: int = 1) -> list[Reply]:
    """Requests of a member for notebooks, all at once."""
    spec = {"env": {"editorId": "odd", "frameworkId": "toy"}, "resources": {"gpu": gpus}}
    member = ("--reuid", UIDS[owner], "--regid", UIDS[owner], "--groups", str(grp.getgrnam("notebookd").gr_gid))
    with tempfile.TemporaryDirectory(prefix="notebookd-test-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o777)
        lines = [f'url = "http://localhost/v1/notebook"\noutput = "{folder}/{each}"\n' for each in range(times)]
        curl = ("curl", "--silent", "--show-error", "--parallel", "--parallel-immediate", "--parallel-max", str(times))
        sending = ("--unix-socket", str(machine.socket), "--json", json.dumps(spec))
        told = ("--write-out", "%{http_code} %{filename_effective}\\n", "--config", "-")
        said = root("setpriv", *member, *curl, *sending, *told, text="".join(lines), timeout_s=120, check=False)
        rows = [line.split(" ", 1) for line in said.splitlines()]
        replies = [Reply(int(status), json.loads(Path(name).read_text())) for status, name in rows if status != "000"]
    machine.made.extend(reply.body["id"] for reply in replies if reply.status == 200)
    assert len(replies) == times, "some were not even let in"
    return replies


def created_and_granted(machine: Machine, after: int) -> tuple[list[str], list[str]]:
    """Notebooks in the order in which they were made and in which they got a GPU, as the record has it."""
    created: list[str] = []
    granted: list[str] = []
    for event in (each.value for each in machine.client.events(after=after)):
        if event.type == "notebook.state" and event.before is wire.UNSET:
            created.append(str(event.notebook))
        if event.type == "lease.granted":
            granted.append(str(event.notebook))
    return created, granted


def last_event(machine: Machine) -> int:
    return max((each.value.id for each in machine.client.events()), default=0)


def holders(machine: Machine) -> set[str]:
    """Who holds a GPU; every one of the eight is held once at most."""
    leases = machine.leases()
    assert len(set(leases.values())) == len(leases) <= GPUS
    return set(leases.values())


def queued(machine: Machine) -> list[str]:
    """Who waits, first to be served first."""
    items = machine.client.queue().value.items
    assert [each.position for each in items] == list(range(1, len(items) + 1))
    return [each.notebook for each in items]


def serve_a_crowd(machine: Machine, stops: int) -> None:
    """Two hundred ask at once; then somebody stops, that often."""
    before = last_event(machine)
    begun = time.monotonic()
    replies = ask(machine, UNBOUND, times=CROWD)
    answered = time.monotonic()
    assert [reply.status for reply in replies] == [200] * CROWD
    created, _ = created_and_granted(machine, before)
    assert set(created) == {reply.body["id"] for reply in replies}
    at = {reply.body["id"]: reply.body["createdAt"] for reply in replies}
    assert [at[each] for each in created] == sorted(at.values())
    eventually(lambda: holders(machine), lambda seen: seen == set(created[:GPUS]), what="the first eight served")
    assert queued(machine) == created[GPUS:]
    for notebook in created[:GPUS]:
        machine.await_state(notebook, "RUNNING")
    running = time.monotonic()
    print(
        f"{CROWD} concurrent creates answered in {answered - begun:.2f} s, eight RUNNING after {running - begun:.2f} s"
    )
    dice, holding, waiting = random.Random(3), created[:GPUS], created[GPUS:]
    for _ in range(stops):
        leaving = dice.choice(holding)
        machine.client.stop_notebook(leaving)
        holding.remove(leaving)
        holding.append(waiting.pop(0))
        eventually(lambda: holders(machine), lambda seen: seen == set(holding), what="the next served, and no other")
        assert queued(machine) == waiting
        machine.await_state(holding[-1], "RUNNING")
    print(f"{stops} stops in {time.monotonic() - running:.1f} s")
    for notebook in holding:
        machine.await_state(notebook, "RUNNING")
    assert sorted(machine.containers()) == sorted(holding)
    assert created_and_granted(machine, before) == (created, created[: GPUS + stops])


@pytest.mark.timeout(240)
def test_of_two_hundred_at_once_eight_are_served_and_each_stop_serves_the_next(machine: Machine) -> None:
    serve_a_crowd(machine, 10)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_stop_by_stop_all_two_hundred_are_served(machine: Machine) -> None:
    serve_a_crowd(machine, CROWD - GPUS)


def test_who_is_over_the_own_quota_waits_for_that_and_holds_nobody_up(machine: Machine) -> None:
    first, second, third = (ask(machine, BOUND)[0].body["id"] for _ in range(3))
    eventually(lambda: holders(machine), lambda seen: seen == {first, second})
    (row,) = machine.client.queue().value.items
    assert (row.notebook, row.owner) == (third, BOUND)
    assert row.waits_for.startswith("quota: ")
    assert any("quota" in sentence for sentence in machine.client.why(third).value.sentences)
    others = [ask(machine, OTHER)[0].body["id"] for _ in range(2)]
    eventually(lambda: holders(machine), lambda seen: seen == {first, second, *others}, within_s=5)
    machine.await_state(others[-1], "RUNNING")
    assert machine.state(third) == "STARTING"
    machine.client.stop_notebook(others[0])
    machine.await_state(others[0], "STOPPED")
    assert queued(machine) == [third], "a GPU that came free is not what it waits for"
    machine.client.stop_notebook(second)
    machine.await_state(third, "RUNNING")


@pytest.mark.parametrize("gpus", [3, 5])
def test_more_than_the_quota_at_once_is_never_accepted(machine: Machine, gpus: int) -> None:
    (refused,) = ask(machine, BOUND, gpus=gpus)
    assert (refused.status, refused.body["code"]) == (402, "quota-exceeded")
    assert f"asks for {gpus} GPUs, the quota is 2" in refused.body["message"]
    assert machine.client.list_notebooks().value.items == []
