# SPDX-License-Identifier: Apache-2.0
"""Reports of usage and receipts as they cross the wire."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from notebookd.domain.clocks import wall_ms
from notebookd.domain.gpu_use import GpuUse
from notebookd.domain.ids import NotebookId
from notebookd.domain.snapshots import WorkspaceUse
from notebookd.testing.house import World, make_world
from tests.api.caller import NOWHERE, Api, open_api
from tests.api.people import People

RATES = {"currency": "EUR", "rates": {"fake-80gb-1-gpu": "2.80"}}
MARCH = "2026-03-01T00:00:00.000Z"
APRIL = "2026-04-01T00:00:00.000Z"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A machine of two GPUs at 2.80 an hour; CPUs are for nothing."""
    return make_world(tmp_path, settings={"billing": RATES})


async def spend(api: Api, seconds: float, **changes: Any) -> str:
    """A notebook that ran for so long."""
    notebook = await api.create(**changes)
    await api.house.pass_time(seconds)
    await api.order(notebook, "stop")
    return notebook


async def used(api: Api, notebook: str) -> None:
    """The watch saw it compute for ten minutes."""
    entry = api.house.store.find_entry(NotebookId(notebook))
    assert entry is not None
    use = GpuUse(sampled_s=600, busy_s=150, peak_utilisation=0.75, peak_memory_bytes=2**30, energy_j=90_000)
    async with api.house.store.transaction() as tx:
        await tx.add_gpu_use(entry.run.id, entry.run.gpus[0], wall_ms(entry.run.queued_at), use)


def minutes(row: dict[str, Any]) -> int:
    assert row["minutes"]["unit"] == "Minute"
    return int(row["minutes"]["value"])


async def test_this_month_is_reported_by_what_was_asked_for(api: Api) -> None:
    notebook = await spend(api, 3600, name="mine", resources={"gpu": 2})
    await used(api, notebook)
    await spend(api, 61, resources={"cpu": 2})
    said = await api.call("GET", "/v1/usage?groupBy=flavor,month")
    assert (said.body["from"], said.body["to"], said.body["groupBy"]) == (MARCH, APRIL, ["flavor", "month"])
    assert said.body["items"] == [
        {
            "flavor": "cpu",
            "month": "2026-03",
            "minutes": {"unit": "Minute", "value": 2},
            "gpuMinutes": {"unit": "Minute", "value": 0},
            "leasedGpuSeconds": 0,
        },
        {
            "flavor": "fake-80gb-1-gpu",
            "month": "2026-03",
            "minutes": {"unit": "Minute", "value": 60},
            "gpuMinutes": {"unit": "Minute", "value": 120},
            "leasedGpuSeconds": 7200,
            "usedGpuSeconds": 150,
            "energyJoules": 90_000,
            "peakGpuMemory": 2**30,
            "price": {"currency": "EUR", "micros": 5_600_000},
        },
    ]
    totals = said.body["totals"]
    assert minutes(totals) == 62
    assert totals["price"] == {"currency": "EUR", "micros": 5_600_000}


async def test_what_goes_on_is_reported_so_far(api: Api) -> None:
    notebook = await api.create(name="mine")
    await api.house.pass_time(601)
    said = await api.call("GET", "/v1/usage?groupBy=notebook")
    (row,) = said.body["items"]
    assert (row["notebook"], row["name"], minutes(row), row["leasedGpuSeconds"]) == (notebook, "mine", 11, 601)


async def test_groups_may_be_repeated_and_gpus_have_their_own_minutes(api: Api) -> None:
    await spend(api, 90, resources={"gpu": 2})
    said = await api.call("GET", "/v1/usage?groupBy=gpu&groupBy=day,gpu")
    assert said.body["groupBy"] == ["gpu", "day"]
    assert [(row["gpu"], row["day"], minutes(row)) for row in said.body["items"]] == [
        (gpu, "2026-03-02", 2) for gpu in sorted(api.world.gpus.uuids)
    ]
    assert minutes(said.body["totals"]) == 2
    assert said.body["totals"]["gpuMinutes"]["value"] == 4


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ("from=2026-03-02", 60),
        ("from=2026-03-03", 0),
        ("to=2026-03-02", 0),
        ("to=2026-03-02T09:30:00Z", 30),
        ("from=2026-03-02T09:30:00Z&to=2026-03-03", 30),
        ("from=2026-03-02T10:30:00%2B01:00&to=2026-03-02T09:45:30.000Z", 16),
    ],
)
async def test_a_window_holds_the_minutes_that_commence_in_it(api: Api, window: str, expected: int) -> None:
    await spend(api, 3600)
    said = await api.call("GET", f"/v1/usage?{window}")
    assert minutes(said.body["totals"]) == expected
    assert len(said.body["items"]) == (1 if expected else 0), "without a key there is one group"


async def by_course(api: Api, *, also: str = "") -> list[tuple[str | None, int]]:
    """The courses with their minutes, and that they come to the whole."""
    said = await api.call("GET", f"/v1/usage?groupBy=label:course{also}")
    assert said.status == 200, said.body
    assert said.body["groupBy"] == ["label:course", *also.split(",")[1:]]
    assert sum(map(minutes, said.body["items"])) == minutes(said.body["totals"])
    return [(row["labels"].get("course"), minutes(row)) for row in said.body["items"]]


async def test_usage_is_reported_by_a_label(api: Api) -> None:
    await spend(api, 600, labels={"course": "ml", "team": "a"})
    await spend(api, 120, labels={"course": "db"})
    await spend(api, 60, resources={"cpu": 1})
    assert await by_course(api) == [(None, 1), ("db", 2), ("ml", 10)]
    said = await api.call("GET", "/v1/usage?groupBy=label:team,user,label:course")
    assert said.body["groupBy"] == ["label:team", "user", "label:course"]
    rows = [(row["user"], row["labels"], minutes(row)) for row in said.body["items"]]
    assert rows == [
        ("root", {}, 1),
        ("root", {"course": "db"}, 2),
        ("root", {"team": "a", "course": "ml"}, 10),
    ]
    assert "labels" not in said.body["totals"]
    assert "labels" not in (await api.call("GET", "/v1/usage?groupBy=user")).body["items"][0]
    async with api.session.get("http://localhost/v1/usage?groupBy=label:course&format=csv") as sheet:
        lines = (await sheet.text()).splitlines()
    assert [line.split(",")[:2] for line in lines] == [
        ["label:course", "minutes"],
        ["(none)", "1"],
        ["db", "2"],
        ["ml", "10"],
    ]


async def test_a_new_label_counts_for_the_run_that_goes_on_and_changes_nothing_of_the_past(api: Api) -> None:
    notebook = await spend(api, 600, labels={"course": "ml"})

    async def label(value: str | None) -> None:
        said = await api.call("PUT", f"/v1/notebook/{notebook}/label", {"name": "course", "value": value})
        assert said.status == 204, said.body

    await label("db")
    assert await by_course(api) == [("ml", 10)], "a bill of the past"
    await api.order(notebook, "start")
    await api.house.pass_time(120)
    assert await by_course(api) == [("db", 2), ("ml", 10)]
    await label("os")
    assert await by_course(api) == [("ml", 10), ("os", 2)]
    await api.order(notebook, "stop")
    await label(None)
    assert await by_course(api, also=",user,month") == [("ml", 10), ("os", 2)]
    await api.call("DELETE", f"/v1/notebook/{notebook}?force=true")
    assert await by_course(api) == [("ml", 10), ("os", 2)]


async def test_a_notebook_that_is_deleted_while_it_runs_keeps_its_label(api: Api) -> None:
    notebook = await api.create(labels={"course": "ml"})
    await api.house.pass_time(180)
    assert (await api.call("DELETE", f"/v1/notebook/{notebook}?force=true")).status < 300
    await api.house.quiet()
    assert await by_course(api) == [("ml", 3)]


@pytest.mark.parametrize("key", ["label:", "label:a b", "label:-x", "label:x=y", "label:" + "x" * 129, "label: course"])
async def test_what_names_no_label_is_refused_with_an_example(api: Api, key: str) -> None:
    said = await api.call("GET", f"/v1/usage?groupBy={key}")
    assert (said.status, list(said.faults)) == (400, ["$query.groupBy"])
    assert "label:course" in said.faults["$query.groupBy"]


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("groupBy=user,colour", "$query.groupBy"),
        ("from=yesterday", "$query.from"),
        ("from=2026-13-01", "$query.from"),
        ("from=2026-03-02T09:00:00", "$query.from"),
        ("to=", "$query.to"),
        ("to=9999-12-31", "$query.to"),
        ("from=0001-01-01", "$query.from"),
        ("from=2026-03-02&to=2026-03-02", "$query.to"),
        ("from=2027-01-01", "$query.from"),
        ("format=xml", "$query.format"),
    ],
)
async def test_what_cannot_be_reported_is_refused_with_its_place(api: Api, query: str, path: str) -> None:
    said = await api.call("GET", f"/v1/usage?{query}")
    assert (said.status, said.code) == (400, "invalid-request")
    assert list(said.faults) == [path]


async def test_every_fault_is_named_at_once(api: Api) -> None:
    said = await api.call("GET", "/v1/usage?groupBy=x&from=y&to=z&format=w")
    assert set(said.faults) == {"$query.groupBy", "$query.from", "$query.to", "$query.format"}


async def test_a_report_is_a_sheet_too(api: Api) -> None:
    notebook = await spend(api, 90, name="mine")
    async with api.session.get("http://localhost/v1/usage?groupBy=notebook,day&format=csv") as said:
        assert said.headers["Content-Type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(await said.text())))
    (row,) = rows
    assert list(row) == [
        *("notebook", "name", "day", "minutes", "gpuMinutes"),
        *("leasedGpuSeconds", "usedGpuSeconds", "energyJoules", "peakGpuMemory", "currency", "priceMicros"),
    ]
    assert list(row.values())[:6] == [notebook, "mine", "2026-03-02", "2", "2", "90.0"]
    assert list(row.values())[-2:] == ["EUR", "93333"]


async def test_a_receipt_shows_each_stay_and_what_ended_the_run(api: Api) -> None:
    notebook = await api.create(name="mine")
    await used(api, notebook)
    await api.house.pass_time(90)
    await api.order(notebook, "restart")
    await api.house.pass_time(600)
    said = await api.call("GET", f"/v1/notebook/{notebook}/receipt")
    assert said.body["open"] is True
    assert "ended" not in said.body
    assert "endedAt" not in said.body["stays"][1]
    await api.order(notebook, "stop")
    said = await api.call("GET", f"/v1/notebook/{notebook}/receipt")
    body = said.body
    rate = {"currency": "EUR", "micros": 2_800_000}
    assert (body["notebook"], body["name"], body["run"], body["state"]) == (notebook, "mine", 1, "INTERRUPTED")
    assert (body["flavor"], body["units"], body["open"]) == ("fake-80gb-1-gpu", 1, False)
    assert body["stays"] == [
        {
            "state": "RUNNING",
            "startedAt": "2026-03-02T09:00:00.000Z",
            "endedAt": "2026-03-02T09:01:30.000Z",
            "seconds": 90,
            "minutes": {"unit": "Minute", "value": 2},
            "rate": rate,
            "price": {"currency": "EUR", "micros": 93_333},
        },
        {
            "state": "RUNNING",
            "startedAt": "2026-03-02T09:01:30.000Z",
            "endedAt": "2026-03-02T09:11:30.000Z",
            "seconds": 600,
            "minutes": {"unit": "Minute", "value": 10},
            "rate": rate,
            "price": {"currency": "EUR", "micros": 466_666},
        },
    ]
    assert body["totals"]["price"]["micros"] == 93_333 + 466_666
    assert body["gpus"] == [
        {
            "uuid": api.world.gpus.uuids[0],
            "leasedSeconds": 690,
            "usedSeconds": 150,
            "peakUtilisation": 75,
            "peakMemory": 2**30,
            "energyJoules": 90_000,
        }
    ]
    assert body["ended"]["code"] == "JOB_INTERRUPTED"
    assert body["ended"]["message"].startswith("stopped by ")


async def test_a_receipt_is_of_the_latest_run_or_an_earlier_one_and_outlives_its_notebook(api: Api) -> None:
    notebook = await spend(api, 90)
    await api.order(notebook, "start")
    await api.house.pass_time(200)
    await api.call("DELETE", f"/v1/notebook/{notebook}?force=true")
    assert (await api.call("GET", f"/v1/notebook/{notebook}")).status == 404
    latest = await api.call("GET", f"/v1/notebook/{notebook}/receipt")
    first = await api.call("GET", f"/v1/notebook/{notebook}/receipt?run=1")
    assert [(said.body["run"], minutes(said.body["totals"])) for said in (first, latest)] == [(1, 2), (2, 4)]
    assert (await api.call("GET", f"/v1/notebook/{notebook}/receipt?run=3")).status == 404
    assert (await api.call("GET", f"/v1/notebook/{notebook}/receipt?run=none")).status == 400
    assert (await api.call("GET", f"/v1/notebook/{NOWHERE}/receipt")).status == 404


async def test_money_stays_what_it_was_when_the_rate_changes(world: World, tmp_path: Path) -> None:
    async with open_api(world, tmp_path / "one.sock", None) as api:
        notebook = await spend(api, 3600)
    world.config = make_world(
        tmp_path, settings={"billing": {"currency": "CHF", "rates": {"fake-80gb-1-gpu": "9"}}}
    ).config
    async with open_api(world, tmp_path / "two.sock", None) as api:
        await spend(api, 3600)
        said = await api.call("GET", f"/v1/notebook/{notebook}/receipt")
        assert said.body["totals"]["price"] == {"currency": "EUR", "micros": 2_800_000}
        said = await api.call("GET", "/v1/usage")
        assert said.body["totals"]["price"] == {"currency": "CHF", "micros": 9_000_000}
        assert said.body["totals"]["otherPrices"] == [{"currency": "EUR", "micros": 2_800_000}]


async def test_people_see_their_own_usage_and_admins_everybody_s(api: Api, people: People) -> None:
    spec = {"env": {"editorId": "jupyterlab", "frameworkId": "conda"}, "resources": {"cpu": 1}}
    made = {
        who.name: (await api.ask_as(who, "POST", "/v1/notebook", spec)).body["id"] for who in (people.alice, people.bob)
    }
    await api.house.pass_time(60)
    alice, bob, boss = people.alice, people.bob, people.boss

    async def users(who: Any, query: str = "") -> list[str]:
        said = await api.ask_as(who, "GET", f"/v1/usage?groupBy=user{query}")
        assert said.status == 200, said.body
        return [row["user"] for row in said.body["items"]]

    assert await users(alice) == [alice.name]
    assert await users(boss) == sorted([alice.name, bob.name])
    assert await users(boss, f"&user={bob.name}") == [bob.name]
    assert (await api.ask_as(alice, "GET", f"/v1/usage?user={bob.name}")).status == 403
    full = {who: (await api.ask_as(who, "GET", "/v1/usage/disk")).body["items"] for who in (alice, bob, boss)}
    assert [row["owner"] for row in full[alice]] == [alice.name]
    assert [row["owner"] for row in full[bob]] == [bob.name]
    assert {row["owner"] for row in full[boss]} >= {alice.name, bob.name}
    assert (await api.ask_as(alice, "GET", f"/v1/notebook/{made[bob.name]}/receipt")).status == 403
    assert (await api.ask_as(boss, "GET", f"/v1/notebook/{made[bob.name]}/receipt")).status == 200


async def test_the_disk_is_listed_by_what_fills_it(api: Api) -> None:
    """The fullest first, and what was never measured last."""
    small, big, new = [await api.create(name=name, resources={"cpu": 1}) for name in ("small", "big", "new")]
    now = api.world.clock.now()
    async with api.house.store.transaction() as tx:
        await tx.put_workspace_use(NotebookId(small), WorkspaceUse(used_bytes=1000, measured_at=now))
        await tx.put_workspace_use(NotebookId(big), WorkspaceUse(used_bytes=5000, measured_at=now))
    said = await api.call("GET", "/v1/usage/disk")
    rows = {row["notebook"]: row for row in said.body["items"]}
    assert [row["notebook"] for row in said.body["items"]] == [big, small, new]
    assert (rows[big]["used"], rows[small]["used"], said.body["total"]) == (5000, 1000, 6000)
    assert "used" not in rows[new]
    assert said.body["free"] > 0
    assert {(row["name"], row["owner"]) for row in rows.values()} == {
        (each, "root") for each in ("small", "big", "new")
    }
