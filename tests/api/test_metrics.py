# SPDX-License-Identifier: Apache-2.0
"""GET /metrics: what it says, in which format, and what it never says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from notebookd.api.app import ROUTES
from notebookd.domain.run import NotebookState
from notebookd.domain.syncing import Progress
from notebookd.testing.house import World, make_world
from tests.api.caller import NOWHERE, SPEC, Api

TWO = {**SPEC, "resources": {"gpu": 2}}


class Figures:
    """An answer of the route, to be asked for values."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples = [each for family in text_string_to_metric_families(text) for each in family.samples]

    def get(self, name: str, /, **labels: str) -> float:
        (found,) = self.every(name, **labels)
        return found

    def every(self, name: str, /, **labels: str) -> list[float]:
        return [each.value for each in self.samples if each.name == name and labels.items() <= each.labels.items()]

    def labels(self, name: str, label: str) -> set[str]:
        return {each.labels[label] for each in self.samples if each.name == name}


async def scrape(api: Api, headers: Mapping[str, str] | None = None) -> Figures:
    async with api.session.get("http://localhost/metrics", headers=headers) as answer:
        text = await answer.text()
        assert answer.status == 200, text
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return Figures(text)


async def test_notebooks_leases_and_the_queue_are_counted(api: Api) -> None:
    running = await api.create(resources={"gpu": 1})
    await api.call("POST", "/v1/notebook", TWO)
    await api.house.pass_time(90)
    figures = await scrape(api)
    assert figures.labels("notebookd_notebooks", "state") == set(map(str, NotebookState))
    assert figures.get("notebookd_notebooks", state="RUNNING") == 1
    assert figures.get("notebookd_notebooks", state="STARTING") == 1
    assert figures.get("notebookd_leases") == 1
    assert figures.get("notebookd_queue_length") == 1
    assert figures.get("notebookd_queue_oldest_wait_seconds") == 90
    assert figures.get("notebookd_billed_minutes_total") == 2
    await api.order(running, "stop")
    figures = await scrape(api)
    assert (figures.get("notebookd_leases"), figures.get("notebookd_queue_length")) == (2, 0)


async def test_a_gpu_says_who_holds_it(api: Api) -> None:
    notebook = await api.create(resources={"gpu": 1}, name="secret-project")
    held, free = api.world.gpus.uuids
    figures = await scrape(api)
    for name in ("utilisation_ratio", "memory_used_bytes", "memory_total_bytes", "temperature_celsius", "power_watts"):
        assert figures.every(f"notebookd_gpu_{name}", gpu=held, notebook=notebook, user="root"), name
        assert figures.every(f"notebookd_gpu_{name}", gpu=free, notebook="", user=""), name
    assert figures.every("notebookd_gpu_energy_joules_total", gpu=held, notebook=notebook)
    assert figures.get("notebookd_gpu_state", gpu=held, state="leased") == 1
    assert figures.get("notebookd_gpu_state", gpu=free, state="leased") == 0
    assert sum(figures.every("notebookd_gpu_state", gpu=free)) == 1
    assert api.token(notebook) not in figures.text
    assert figures.get("notebookd_user_gpus", user="root") == 1
    assert figures.labels("notebookd_user_gpus", "user") == {"root"}


async def test_a_name_is_for_those_who_may_see_the_notebook_and_while_it_is_up(api: Api) -> None:
    notebook = await api.create(name="secret-project", labels={"team": "red"})
    others = await api.create(name="others-project")
    spec = {"name": "scraper", "role": "ai_training_read", "labelSelector": "team=red"}
    value = (await api.call("POST", "/v1/token", spec)).body["status"]["value"]
    name = "notebookd_notebook_info"
    assert (await scrape(api)).labels(name, "name") == {"secret-project", "others-project"}
    by_token = await scrape(api, {"Authorization": f"Bearer {value}"})
    assert by_token.get(name, notebook=notebook, name="secret-project", user="root") == 1
    assert "others-project" not in by_token.text
    await api.order(others, "stop")
    assert (await scrape(api)).labels(name, "name") == {"secret-project"}


async def test_what_a_silent_driver_does_not_tell_is_left_out(api: Api) -> None:
    await scrape(api)
    api.world.gpus.become_unavailable()
    figures = await scrape(api)
    assert figures.get("notebookd_gpu_driver_up") == 0
    assert figures.every("notebookd_gpu_temperature_celsius") == []
    assert len(figures.every("notebookd_gpu_state", state="free")) == 2


async def test_answers_are_counted_by_the_routes_pattern_and_by_nothing_that_a_caller_chooses(api: Api) -> None:
    notebook = await api.create()
    for path in (f"/v1/notebook/{notebook}", f"/v1/notebook/{NOWHERE}", "/v1/me", "/v1/nowhere", f"/{NOWHERE}"):
        await api.call("GET", path)
    await api.call("POST", "/v1/me")
    assert (await api.call("PROPFIND", "/v1/me")).status == 405
    figures = await scrape(api)
    count = "notebookd_api_request_duration_seconds_count"
    assert figures.get(count, route="/v1/notebook/{id}", method="GET", status="2xx") == 1
    assert figures.get(count, route="/v1/notebook/{id}", method="GET", status="4xx") == 1
    assert figures.get(count, route="none", method="none", status="4xx") == 4
    assert figures.labels(count, "route") <= {route.path for route in ROUTES} | {"none"}
    assert figures.labels(count, "method") <= {route.method for route in ROUTES} | {"none"}


async def test_a_stream_is_answered_when_it_begins_and_followed_until_its_reader_leaves(api: Api) -> None:
    async with api.session.get("http://localhost/v1/event?follow=true"):
        figures = await scrape(api)
        assert figures.get("notebookd_event_followers") == 1
        assert figures.get("notebookd_api_request_duration_seconds_count", route="/v1/event") == 1
    for _ in range(2):
        await api.house.pass_time(21)  # a beat finds it gone
    assert (await scrape(api)).get("notebookd_event_followers") == 0


async def test_turns_and_commits_are_timed(api: Api) -> None:
    before = await scrape(api)
    await api.create()
    after = await scrape(api)
    for name, labels in (
        ("notebookd_reconcile_lag_seconds_count", {"kind": "notebook"}),
        ("notebookd_reconcile_lag_seconds_count", {"kind": "allocation"}),
        ("notebookd_store_write_duration_seconds_count", {}),
        ("notebookd_events_total", {}),
    ):
        assert sum(after.every(name, **labels)) > sum(before.every(name, **labels)), name


async def test_the_engines_silence_is_seen_by_the_next_survey(api: Api) -> None:
    assert (await scrape(api)).get("notebookd_engine_up") == 1
    api.world.engine.reachable = False
    await api.house.pass_time(11)
    assert (await scrape(api)).get("notebookd_engine_up") == 0
    api.world.engine.reachable = True


async def test_the_store_shows_its_size_and_its_reserve(api: Api) -> None:
    figures = await scrape(api)
    assert figures.get("notebookd_database_bytes") > 100_000
    assert figures.get("notebookd_ballast_bytes") == 4096
    assert figures.get("notebookd_disk_free_bytes") > 0
    bounded = (await api.house.store.disk_use()).free_inodes is not None
    assert [each > 0 for each in figures.every("notebookd_disk_free_inodes")] == [True] * bounded


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", "application/openmetrics-text"),
        ("text/plain;version=nonsense", "text/plain"),
        ("*/*", "text/plain"),
    ],
)
async def test_the_format_is_the_one_that_is_asked_for(api: Api, accept: str, form: str) -> None:
    await api.create()
    async with api.session.get("http://localhost/metrics", headers={"Accept": accept}) as answer:
        text = await answer.text()
        assert answer.content_type == form
    parse = openmetrics.text_string_to_metric_families if "open" in form else text_string_to_metric_families
    names = {family.name for family in parse(text)}
    assert {"notebookd_notebooks", "notebookd_reconcile_lag_seconds"} <= names


async def test_many_scrapes_look_through_the_accounts_once_a_minute(api: Api) -> None:
    notebook = await api.create()
    assert (await scrape(api)).get("notebookd_billed_minutes_total") == 1
    await api.house.pass_time(59)
    await api.order(notebook, "stop")
    assert (await scrape(api)).get("notebookd_billed_minutes_total") == 1
    await api.house.pass_time(2)
    assert (await scrape(api)).get("notebookd_billed_minutes_total") == 1


class TestTransfers:
    """What movers carry."""

    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        """A machine with a remote of three files, and snapshots."""
        stores = [{"alias": "S3", "type": "rclone", "remote": "lab", "read": ["*"], "write": ["*"]}]
        made = make_world(tmp_path, settings={"datastore": stores, "snapshots": {"at_stop": True}})
        made.movers.remotes["S3"] = {"sets/a": b"aa", "sets/b": b"bbb"}
        return made

    async def test_bytes_and_ends_are_counted_in_and_out(self, api: Api) -> None:
        notebook = await api.create(volumes=["sets@S3:/data:rwd"])
        figures = await scrape(api)
        assert figures.get("notebookd_transfer_bytes_total", direction="in") == 5
        assert figures.get("notebookd_transfers_ended_total", kind="pull", state="DONE") == 1
        assert figures.get("notebookd_snapshots") == 0
        await api.order(notebook, "stop")
        await api.house.pass_time(60)
        figures = await scrape(api)
        assert figures.get("notebookd_transfers_ended_total", kind="push", state="DONE") == 1
        assert figures.get("notebookd_transfers_ended_total", kind="snapshot", state="DONE") == 1
        assert figures.get("notebookd_snapshots") == 1

    async def test_what_is_under_way_is_seen_and_its_bytes_are_counted_once(self, api: Api) -> None:
        api.world.movers.held = True
        await api.create(volumes=["sets@S3:/data"])
        (mover,) = api.world.movers.launches
        figures = await scrape(api)
        assert figures.get("notebookd_transfers", state="RUNNING") == 1
        assert (figures.get("notebookd_movers"), figures.get("notebookd_movers_limit")) == (1, 4)
        for carried in (1, 3, 4):
            api.world.movers.progress(mover, Progress(transferred_bytes=carried))
            await api.house.pass_time(11)
            assert (await scrape(api)).get("notebookd_transfer_bytes_total", direction="in") == carried
        api.world.movers.finish(mover)
        await api.house.pass_time(11)
        figures = await scrape(api)
        assert figures.get("notebookd_transfer_bytes_total", direction="in") == 5
        assert figures.get("notebookd_movers") == 0
