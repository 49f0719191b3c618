# SPDX-License-Identifier: Apache-2.0
"""GET /v1/load: what running notebooks take, of whom it is told, and how often anybody looks."""

from __future__ import annotations

from typing import Any

from tests.api.caller import Api
from tests.api.people import People


def pid_of(api: Api, notebook: str) -> int:
    """The process that is the notebook's container."""
    (found,) = [each for each in api.house.store.list_unsettled() if each.notebook.id == notebook]
    assert found.run.container_pid is not None
    return found.run.container_pid


async def loads(api: Api) -> dict[str, Any]:
    """The answer by notebook."""
    return {each["notebook"]: each for each in (await api.call("GET", "/v1/load")).body["items"]}


async def test_cpus_are_told_over_the_last_seconds_and_memory_as_it_is(api: Api) -> None:
    notebook = await api.create(resources={"cpu": 2})
    processes, pid = api.world.processes, pid_of(api, notebook)
    processes.cpu_s[pid], processes.memory_bytes[pid] = 10.0, 3 * 2**30
    assert await loads(api) == {notebook: {"notebook": notebook, "memory": 3 * 2**30}}, "nobody has looked before"
    await api.house.pass_time(4)
    processes.cpu_s[pid] = 16.0
    assert (await loads(api))[notebook]["cpus"] == 1.5


async def test_who_asks_at_once_shares_a_look(api: Api) -> None:
    notebook = await api.create(resources={"cpu": 2})
    processes, pid = api.world.processes, pid_of(api, notebook)
    processes.memory_bytes[pid] = 1
    await loads(api)
    processes.memory_bytes[pid] = 2
    assert (await loads(api))[notebook]["memory"] == 1
    await api.house.pass_time(1)
    assert (await loads(api))[notebook]["memory"] == 2


async def test_what_was_seen_long_ago_says_nothing_of_now(api: Api) -> None:
    notebook = await api.create(resources={"cpu": 2})
    await loads(api)
    await api.house.pass_time(3600)
    api.world.processes.cpu_s[pid_of(api, notebook)] = 1800.0
    assert "cpus" not in (await loads(api))[notebook]


async def test_what_cannot_be_seen_or_does_not_run_is_left_out(api: Api) -> None:
    unseen, stopped = await api.create(resources={"cpu": 1}), await api.create(resources={"cpu": 1})
    await api.order(stopped, "stop")
    api.world.processes.others_cpu_s = None
    assert await loads(api) == {}
    api.world.processes.cpu_s[pid_of(api, unseen)] = 0.0
    await api.house.pass_time(1)
    assert set(await loads(api)) == {unseen}


async def test_others_are_told_of_their_own_alone(api: Api, people: People) -> None:
    notebook = await api.create(resources={"cpu": 1})
    assert set(await loads(api)) == {notebook}
    assert (await api.ask_as(people.bob, "GET", "/v1/load")).body == {"items": []}
