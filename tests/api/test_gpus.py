# SPDX-License-Identifier: Apache-2.0
"""The board, the queue and why, as programs see them."""

from __future__ import annotations

from typing import Any

from tests.api.caller import Api
from tests.api.people import People

GIB = 1024**3


async def rows(api: Api) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await api.call("GET", "/v1/gpu")).body["items"]
    return items


async def test_a_stranger_is_named_with_what_he_uses_and_never_by_his_command_line(api: Api) -> None:
    uuid = api.world.gpus.uuids[0]
    api.world.processes.add(4242, user="carol", command="train\x1b[2J")
    api.world.gpus.add_process(uuid, 4242, memory_bytes=3 * GIB)
    row = (await rows(api))[0]
    assert (row["state"], row["foreign"], row["lease"]) == ("foreign", True, None)
    assert row["processes"] == [
        {"pid": 4242, "user": "carol", "command": "train?[2J", "memory": 3 * GIB, "notebook": None}
    ]
    assert row["memory"] == {"total": 80 * GIB, "used": 3 * GIB}


async def test_a_stranger_on_a_leased_gpu_leaves_it_leased_and_is_in_why(api: Api) -> None:
    made = await api.create()
    api.world.processes.add(4242, user="carol")
    api.world.gpus.add_process(api.world.gpus.uuids[0], 4242)
    row = (await rows(api))[0]
    assert (row["state"], row["foreign"], row["lease"]["notebook"]) == ("leased", True, made)
    why = (await api.call("GET", f"/v1/notebook/{made}/why")).body
    assert any("carol's python3 (pid 4242)" in sentence for sentence in why["sentences"])


async def test_a_gpu_is_named_for_other_tools_too(api: Api) -> None:
    assert [row["pciBusId"] for row in await rows(api)] == ["00000000:01:00.0", "00000000:02:00.0"]


async def test_a_gpu_whose_clocks_are_held_down_says_why_and_is_well(api: Api) -> None:
    api.world.gpus.throttle(api.world.gpus.uuids[0], "power-cap", "thermal")
    slow, other = await rows(api)
    assert (slow["state"], slow["health"]) == ("free", {"status": "ok", "throttle": ["power-cap", "thermal"]})
    assert other["health"] == {"status": "ok"}


async def test_a_quarantined_gpu_says_what_when_and_whom_it_hit(api: Api) -> None:
    made = await api.create()
    api.world.gpus.report(api.world.gpus.uuids[0], 79, api.world.clock.now())
    health = (await rows(api))[0]["health"]
    assert (health["status"], health["xid"], health["notebook"]) == ("failed", 79, made)
    assert health["message"].startswith("Xid 79")
    assert health["at"].endswith("Z")


async def test_a_driver_that_cannot_be_asked_is_said_beside_what_was_seen_last(api: Api) -> None:
    api.world.gpus.become_unavailable("kernel module not loaded")
    board = (await api.call("GET", "/v1/gpu")).body
    assert "kernel module not loaded" in board["trouble"]
    assert [(row["memory"], row["utilisation"], row["health"]["status"]) for row in board["items"]] == [
        (None, None, "unknown")
    ] * 2
    flavors = (await api.call("GET", "/v1/capabilities/flavor")).body
    assert {each["id"]: each["free"] for each in flavors if each["type"] == "gpu"} == {"fake-80gb-1-gpu": 0}


async def test_an_admin_lets_the_driver_go_and_takes_it_back(api: Api, people: People) -> None:
    assert (await api.ask_as(people.boss, "PUT", "/v1/gpu/release")).status == 204
    assert "released" in (await api.call("GET", "/v1/gpu")).body["trouble"]
    api.world.gpus.become_unavailable("driver not loaded")
    said = await api.ask_as(people.boss, "PUT", "/v1/gpu/acquire")
    assert (said.status, said.code) == (503, "gpus-unavailable")
    api.world.gpus.become_available()
    assert (await api.ask_as(people.boss, "PUT", "/v1/gpu/acquire")).status == 204
    assert "trouble" not in (await api.call("GET", "/v1/gpu")).body


async def test_an_admin_clears_a_quarantine_unless_the_driver_objects(api: Api, people: People) -> None:
    uuid = api.world.gpus.uuids[0]
    api.world.gpus.lose(uuid)
    await rows(api)
    said = await api.ask_as(people.boss, "PUT", f"/v1/gpu/{uuid}/clear")
    assert (said.status, said.code) == (409, "conflict")
    api.world.gpus.heal(uuid)
    assert (await rows(api))[0]["state"] == "quarantined"
    assert (await api.ask_as(people.boss, "PUT", f"/v1/gpu/{uuid}/clear")).status == 204
    assert (await rows(api))[0]["state"] == "free"
    assert (await api.ask_as(people.boss, "PUT", "/v1/gpu/GPU-none/clear")).status == 404


async def test_the_queue_has_places_reasons_and_the_latest_start(api: Api) -> None:
    holder = await api.create(resources={"gpu": 2})
    waiting = await api.create()
    (row,) = (await api.call("GET", "/v1/queue")).body["items"]
    timeout_at = (await api.get(holder))["status"]["lastJobStatus"]["timeoutAt"]
    assert (row["notebook"], row["position"]) == (waiting, 1)
    assert row["waitsFor"].startswith("gpus: ")
    assert row["latestStartAt"] > timeout_at
    why = (await api.call("GET", f"/v1/notebook/{waiting}/why")).body
    assert why["waitsFor"]["latestStartAt"] == row["latestStartAt"]
    assert [each["reason"] for each in why["deadlines"]] == ["queue-timeout"]


async def test_a_lease_that_its_owner_may_keep_for_ever_has_no_end_and_bounds_nobody(api: Api) -> None:
    await api.create(resources={"gpu": 2}, timeoutAutoRestart=True)
    await api.create()
    assert (await rows(api))[0]["lease"]["freeAt"] is None
    (row,) = (await api.call("GET", "/v1/queue")).body["items"]
    assert row["latestStartAt"] is None


async def test_why_a_gpu_is_drained_is_told_to_those_who_wait(api: Api, people: People) -> None:
    (uuid, _) = api.world.gpus.uuids
    assert (await api.ask_as(people.boss, "PUT", f"/v1/gpu/{uuid}/drain?reason=new+fans")).status == 204
    assert [(each["drained"], each.get("drainReason")) for each in await rows(api)] == [
        (True, "new fans"),
        (False, None),
    ]
    await api.create()
    waiting = await api.create()
    (row,) = (await api.call("GET", "/v1/queue")).body["items"]
    assert row["waitsFor"] == "gpus: enough free GPUs of its flavor (1 is drained: new fans)"
    why = (await api.call("GET", f"/v1/notebook/{waiting}/why")).body
    assert "(1 is drained: new fans)" in why["sentences"][0]
    assert (await api.ask_as(people.boss, "PUT", f"/v1/gpu/{uuid}/undrain")).status == 204
    assert "drainReason" not in (await rows(api))[0]


async def test_a_reason_is_one_line_of_text(api: Api, people: People) -> None:
    (uuid, _) = api.world.gpus.uuids
    for reason in ("a%0Ab", "%1Da", "a%1B[2J", "x" * 201):
        said = await api.ask_as(people.boss, "PUT", f"/v1/gpu/{uuid}/drain?reason={reason}")
        assert (said.status, said.code) == (400, "invalid-request")
    assert not (await rows(api))[0]["drained"]
