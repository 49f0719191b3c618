# SPDX-License-Identifier: Apache-2.0
"""Transfers, snapshots and datastores by the API, with the public SDK where it has a call for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import ovhai
import pytest
from ovhai.api.notebook import (
    notebook_create_from_backup,
    notebook_data_sync,
    notebook_get,
    notebook_get_backup,
    notebook_list_backup,
    notebook_new,
)
from ovhai.models.data_store_volume_source import DataStoreVolumeSource
from ovhai.models.data_sync_spec import DataSyncSpec
from ovhai.models.data_sync_spec_direction import DataSyncSpecDirection
from ovhai.models.notebook_env import NotebookEnv
from ovhai.models.notebook_spec import NotebookSpec
from ovhai.models.volume import Volume

from notebookd.domain.ids import NotebookId
from notebookd.domain.syncing import Progress
from notebookd.errors import VolumeFault
from notebookd.ports.movers import Push
from notebookd.testing.house import World, make_world
from tests.api.caller import NOWHERE, Api, nulls
from tests.api.people import People

DATA = "sets@S3/in:/data:rwd"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A machine with a remote, a folder, and a place that none but staff may read."""
    stores = [
        {"alias": "S3", "type": "rclone", "remote": "s3lab", "read": ["*"], "write": ["*"]},
        {"alias": "STAFF", "type": "rclone", "remote": "s3lab", "read": ["@staff"]},
        {"alias": "DIR", "path": str(tmp_path / "srv"), "read": ["*"]},
    ]
    made = make_world(tmp_path, settings={"datastore": stores, "snapshots": {"at_stop": True}})
    made.movers.remotes["S3"] = {"sets/in/a": b"aa", "sets/in/d/b": b"bbb", "sets/other": b"x"}
    made.movers.remotes["STAFF"] = {"sets/plans": b"x"}
    made.movers.remotes["DIR"] = {}
    return made


def workspace(api: Api, notebook: str) -> Path:
    return api.world.config.paths.workspaces / notebook


def copy_of(api: Api, notebook: str) -> Path:
    """The local copy of its only volume."""
    entry = api.house.store.find_entry(NotebookId(notebook))
    assert entry is not None
    return api.world.config.paths.copy(notebook, entry.run.volumes[0].id) / "data"


async def why(api: Api, notebook: str) -> str:
    said = await api.call("GET", f"/v1/notebook/{notebook}/why")
    return "\n".join(said.body["sentences"])


class TestTransfers:
    """POST /v1/notebook/{id}/datasync, and what a notebook says of its data."""

    async def test_a_start_pulls_and_that_is_on_record(self, api: Api) -> None:
        status = (await api.get(await api.create(volumes=[DATA])))["status"]
        assert status["state"] == "RUNNING"
        (volume,) = status["volumes"]
        assert volume.keys() == {"id", "mountPath", "lastPulledCreatedAt"}
        (sync,) = status["dataSync"]
        assert sync["spec"] == {"direction": "pull", "kind": "pull", "manual": False, "volume": volume["id"]}
        assert sync["status"]["state"] == "DONE"
        assert sync["status"]["info"]["code"] == "DATASYNC_DONE"
        (row,) = sync["status"]["progress"]
        assert (row["total"], row["processed"], row["transferredBytes"]) == (2, 2, 5)
        assert (row["info"], row["dataSyncId"]) == ("sets@S3/in", sync["id"])
        assert row["notebookVolume"]["permission"] == "RWD"
        assert row["volumeStatus"] == volume
        assert status["lastJobStatus"]["dataSync"] == [sync]
        assert status["lastJobStatus"]["volumes"] == [volume]

    async def test_a_push_is_asked_for_by_mount_path_id_or_not_at_all(self, api: Api) -> None:
        notebook = await api.create(volumes=[DATA, "sets@S3/in/d:/more", "standalone:/tmp/x"])
        volume = (await api.get(notebook))["status"]["volumes"][0]
        for number, wish in enumerate(({"volume": "/data"}, {"volume": volume["id"]}, {"volume": None}, {})):
            api.world.clock.step(1)
            (copy_of(api, notebook) / f"new{number}").write_bytes(b"new")
            body = {"direction": "push", "manual": True, "appId": None, "jobId": None, **wish}
            said = await api.call("POST", f"/v1/notebook/{notebook}/datasync", body)
            assert said.status == 200, said.body
            assert said.body["spec"]["manual"] is True
            assert api.world.movers.remotes["S3"][f"sets/in/new{number}"] == b"new"
        newest = (await api.get(notebook))["status"]["dataSync"][0]
        assert newest["id"] == said.body["id"]
        assert newest["status"]["state"] == "DONE"

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({}, "$.direction"),
            ({"direction": "sideways"}, "$.direction"),
            ({"direction": "push", "volume": "/nowhere"}, "$.volume"),
            ({"direction": "push", "volume": "/ro"}, "$.volume"),
            ({"direction": "pull", "volume": 7}, "$.volume"),
            ({"direction": "pull", "colour": "red"}, "$.colour"),
        ],
    )
    async def test_what_is_no_transfer_is_refused(self, api: Api, body: dict[str, Any], path: str) -> None:
        notebook = await api.create(volumes=[DATA, "sets@S3/in/d:/ro"])
        said = await api.call("POST", f"/v1/notebook/{notebook}/datasync", body)
        assert (said.status, set(said.faults)) == (400, {path})

    async def test_it_needs_a_notebook_that_runs(self, api: Api, people: People) -> None:
        notebook = await api.create(volumes=[DATA])
        body = {"direction": "push"}
        said = await api.ask_as(people.alice, "POST", f"/v1/notebook/{notebook}/datasync", body)
        assert (said.status, said.code) == (403, "forbidden")
        await api.order(notebook, "stop")
        said = await api.call("POST", f"/v1/notebook/{notebook}/datasync", body)
        assert (said.status, said.code) == (409, "conflict")
        assert (await api.call("POST", f"/v1/notebook/{NOWHERE}/datasync", body)).status == 404

    async def test_what_could_not_go_back_is_kept_until_it_is_given_up(self, api: Api) -> None:
        notebook = await api.create(volumes=[DATA])
        (copy_of(api, notebook) / "new").write_bytes(b"new")
        api.world.movers.held = True
        await api.order(notebook, "stop")
        (pushing,) = (key for key, mover in api.world.movers.movers.items() if isinstance(mover.work, Push))
        api.world.movers.fail(pushing, "DATASYNC_REMOTE_FULL", "the remote is full")
        await api.house.quiet()
        (snapshot,) = api.world.movers.movers
        api.world.movers.finish(snapshot)
        await api.house.quiet()
        api.world.movers.held = False
        found = await api.get(notebook)
        assert found["status"]["state"] == "SYNC_FAILED"
        assert "the remote is full" in str(found["status"])
        assert "`notebookctl start --discard NOTEBOOK` gives it up" in await why(api, notebook)
        assert (await api.order(notebook, "start")).status == 409
        assert (await api.call("PUT", f"/v1/notebook/{notebook}/start?discard=maybe")).status == 400
        assert (copy_of(api, notebook) / "new").exists()
        assert (await api.call("PUT", f"/v1/notebook/{notebook}/start?discard=true")).status == 204
        assert await api.state(notebook) == "RUNNING"
        assert not (copy_of(api, notebook) / "new").exists()

    async def test_why_tells_of_what_went_wrong_on_the_way_and_of_conflicts(self, api: Api) -> None:
        notebook = await api.create(volumes=[DATA])
        movers = api.world.movers
        movers.held = True
        for said in ("a bucket is away", "", "1 files are laid beside"):
            await api.house.pass_time(1)
            await api.call("POST", f"/v1/notebook/{notebook}/datasync", {"direction": "push"})
            (mover,) = movers.movers
            if said == "a bucket is away":
                movers.fail(mover, "DATASYNC_UNREACHABLE", said)
            else:
                movers.finish(mover, said)
            await api.house.quiet()
            assert said in await why(api, notebook)
            assert said or "The last push" not in await why(api, notebook)

    async def test_why_tells_what_a_stop_waits_for(self, api: Api) -> None:
        notebook = await api.create()
        api.world.movers.held = True
        await api.order(notebook, "stop")
        (mover,) = api.world.movers.movers
        api.world.movers.progress(mover, Progress(processed=1, total=2, transferred_bytes=12 * 2**20 + 7))
        await api.house.pass_time(5)
        assert "The snapshot of the workspace is RUNNING: 1 of 2 files, 12.0 MiB." in await why(api, notebook)
        assert "It can be started again when that is done; `notebookctl stop --now` does not wait for it." in await why(
            api, notebook
        )
        api.world.movers.fail(mover, "DATASYNC_DAMAGED", "the repository is damaged")
        await api.house.quiet()
        assert "The last snapshot of the workspace failed: the repository is damaged" in await why(api, notebook)


class TestSnapshots:
    """GET /v1/notebook/{id}/backup and what is below it."""

    @pytest.fixture
    async def notebook(self, api: Api) -> str:
        """One that was stopped twice, with a file more at the second time."""
        notebook = await api.create(name="mine")
        (workspace(api, notebook) / "first").write_bytes(b"1")
        await api.order(notebook, "stop")
        api.world.clock.step(60)
        await api.order(notebook, "start")
        (workspace(api, notebook) / "second").write_bytes(b"2")
        await api.order(notebook, "stop")
        return notebook

    async def test_each_stop_leaves_one_the_newest_first(self, api: Api, notebook: str) -> None:
        said = await api.call("GET", f"/v1/notebook/{notebook}/backup")
        newest, oldest = said.body["items"]
        assert newest["backupDate"] > oldest["backupDate"]
        assert (newest["mountPath"], newest["files"] - oldest["files"]) == ("/workspace", 1)
        assert oldest["comment"] == f"{oldest['files']} files, {oldest['size']} B"
        assert said.body["metadata"]["total"] == 2
        assert (await api.call("GET", f"/v1/notebook/{notebook}/backup/{oldest['id']}")).body == oldest
        turned = await api.call("GET", f"/v1/notebook/{notebook}/backup?order=asc&size=1&page=2&sort=createdAt")
        assert turned.body["items"] == [newest]
        (kinds,) = {each["spec"]["kind"] for each in (await api.get(notebook))["status"]["dataSync"]}
        assert kinds == "snapshot"

    async def test_a_fork_begins_with_it_and_has_a_name_of_its_own(self, api: Api, notebook: str) -> None:
        _, oldest = (await api.call("GET", f"/v1/notebook/{notebook}/backup")).body["items"]
        said = await api.call("POST", f"/v1/notebook/{notebook}/backup/{oldest['id']}/fork")
        assert said.status == 200, said.body
        forked = said.body["id"]
        assert forked != notebook
        assert await api.state(forked) == "RUNNING"
        assert (workspace(api, forked) / "first").exists()
        assert not (workspace(api, forked) / "second").exists()
        assert (workspace(api, notebook) / "second").exists()

    async def test_a_workspace_that_is_still_to_be_filled_is_not_copied(self, api: Api, notebook: str) -> None:
        (newest, *_) = (await api.call("GET", f"/v1/notebook/{notebook}/backup")).body["items"]
        api.world.movers.held = True
        fork = (await api.call("POST", f"/v1/notebook/{notebook}/backup/{newest['id']}/fork")).body["id"]
        await api.house.quiet()
        for method in ("GET", "PUT"):
            said = await api.call(method, f"/v1/notebook/{fork}/archive")
            assert (said.status, said.code) == (409, "conflict")
            assert "to be filled from a snapshot" in said.body["message"]
        (mover,) = api.world.movers.movers
        api.world.movers.finish(mover)
        await api.house.quiet()
        async with api.session.get(f"http://localhost/v1/notebook/{fork}/archive") as answer:
            assert answer.status == 200

    async def test_they_are_checked(self, api: Api, notebook: str) -> None:
        said = await api.call("POST", f"/v1/notebook/{notebook}/backup/check")
        assert (said.status, said.body) == (200, {"said": "no errors were found"})

    @pytest.mark.parametrize("verb", ["GET backup/{}", "POST backup/{}/fork"])
    async def test_one_that_is_not_there_is_not_found(self, api: Api, notebook: str, verb: str) -> None:
        method, path = verb.split()
        other = await api.create()
        mine = (await api.call("GET", f"/v1/notebook/{notebook}/backup")).body["items"][0]["id"]
        for place, snapshot in ((notebook, NOWHERE), (notebook, "no-id"), (other, mine), (NOWHERE, mine)):
            said = await api.call(method, f"/v1/notebook/{place}/{path.format(snapshot)}")
            assert (said.status, said.code) == (404, "not-found")

    async def test_they_are_nobody_elses(self, api: Api, notebook: str, people: People) -> None:
        newest = (await api.call("GET", f"/v1/notebook/{notebook}/backup")).body["items"][0]["id"]
        for method, path in (("GET", ""), ("GET", f"/{newest}"), ("POST", f"/{newest}/fork"), ("POST", "/check")):
            said = await api.ask_as(people.alice, method, f"/v1/notebook/{notebook}/backup{path}")
            assert (said.status, said.code) == (403, "forbidden")

    @pytest.mark.parametrize("query", ["size=0", "page=x", "sort=colour", "order=up", "updatedAfter=soon"])
    async def test_a_bad_query_is_named(self, api: Api, notebook: str, query: str) -> None:
        said = await api.call("GET", f"/v1/notebook/{notebook}/backup?{query}")
        assert (said.status, set(said.faults)) == (400, {f"$query.{query.partition('=')[0]}"})

    async def test_one_that_is_damaged_is_told_with_what_to_do(self, api: Api, notebook: str) -> None:
        class Damaged:
            async def check_snapshots(self, *_: object) -> str:
                raise VolumeFault("cannot check snapshots: it is damaged", info_code="DATASYNC_DAMAGED")

        api.house.services.snapshots._movers = Damaged()  # type: ignore[assignment]
        said = await api.call("POST", f"/v1/notebook/{notebook}/backup/check")
        assert (said.status, said.code) == (503, "volume-unavailable")
        assert "moved the notebook's repository away" in said.body["hint"]


class TestDatastores:
    """GET /v1/datastore and /v1/datastore/{alias}/object."""

    async def test_one_sees_those_that_one_may_read(self, api: Api, people: People) -> None:
        said = await api.ask_as(people.alice, "GET", "/v1/datastore")
        assert said.body == {
            "items": [
                {"alias": "DIR", "type": "directory", "permission": "RO"},
                {"alias": "S3", "type": "rclone", "permission": "RWD"},
            ]
        }
        everything = await api.ask_as(people.boss, "GET", "/v1/datastore")
        assert [each["alias"] for each in everything.body["items"]] == ["DIR", "S3", "STAFF"]

    async def test_objects_are_listed_one_level_deep_by_whole_paths(self, api: Api) -> None:
        async def listed(prefix: str) -> list[tuple[str, bool]]:
            said = await api.call("GET", f"/v1/datastore/S3/object?prefix={prefix}")
            assert said.status == 200, said.body
            return [(each["path"], each.get("folder", False)) for each in said.body["items"]]

        assert await listed("") == [("sets", True)]
        assert await listed("sets") == [("sets/in", True), ("sets/other", False)]
        assert await listed("/sets/in/") == [("sets/in/a", False), ("sets/in/d", True)]

    async def test_what_one_may_not_read_is_not_there(self, api: Api, people: People) -> None:
        said = await api.ask_as(people.alice, "GET", "/v1/datastore/STAFF/object?prefix=sets")
        other = await api.ask_as(people.alice, "GET", "/v1/datastore/NONE/object?prefix=sets")
        assert (said.status, said.code) == (other.status, other.code) == (404, "not-found")
        assert said.body["message"].replace("STAFF", "NONE") == other.body["message"]

    @pytest.mark.parametrize("prefix", ["sets/../../etc", "..", "sets//x", "--config=/etc/x", "a%00b", "sets/a%0ab"])
    async def test_a_prefix_that_leads_elsewhere_is_refused(self, api: Api, prefix: str) -> None:
        said = await api.call("GET", f"/v1/datastore/S3/object?prefix={prefix}")
        assert (said.status, set(said.faults)) == (400, {"$query.prefix"})

    async def test_a_place_that_is_not_there_is_not_found(self, api: Api) -> None:
        said = await api.call("GET", "/v1/datastore/S3/object?prefix=nowhere")
        assert (said.status, said.code) == (404, "not-found")

    async def test_a_folder_that_is_named_as_no_container_may_be_is_listed(self, api: Api) -> None:
        api.world.movers.remotes["DIR"] = {"with blank/file": b"x"}
        said = await api.call("GET", "/v1/datastore/DIR/object?prefix=with%20blank")
        assert [each["path"] for each in said.body["items"]] == ["with blank/file"]

    async def test_a_file_is_no_place_to_list(self, api: Api) -> None:
        class Files:
            async def list_objects(self, *_: object) -> None:
                raise VolumeFault("cannot list: it is a file", info_code="DATASYNC_INVALID_SOURCE")

        api.house.services.datastores._movers = Files()  # type: ignore[assignment]
        said = await api.call("GET", "/v1/datastore/DIR/object?prefix=file")
        assert (said.status, said.code) == (409, "conflict")

    async def test_without_the_engine_nobody_knows(self, api: Api) -> None:
        api.world.movers.reachable = False
        said = await api.call("GET", "/v1/datastore/S3/object")
        assert (said.status, said.code) == (503, "engine-unavailable")
        api.world.movers.reachable = True


Ask = Callable[..., Any]


@pytest.fixture
def ask(api: Api) -> Iterator[Ask]:
    """Call the SDK, unmodified, from a thread, and let the house come to rest."""
    client = ovhai.Client(
        base_url="http://localhost",
        httpx_args={"transport": httpx.HTTPTransport(uds=str(api.socket))},
        raise_on_unexpected_status=True,
    )

    async def asked(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        answer = await asyncio.to_thread(call, *args, client=client, **kwargs)
        await api.house.quiet()
        return answer

    yield asked
    client.get_httpx_client().close()


async def test_the_sdk_carries_data_and_forks_a_snapshot(api: Api, ask: Ask) -> None:
    volume = Volume(
        mount_path="/data", permission="rw", data_store=DataStoreVolumeSource(alias="S3", container="sets", prefix="in")
    )
    spec = NotebookSpec(env=NotebookEnv(editor_id="jupyterlab", framework_id="conda"), volumes=[volume])
    made = await ask(notebook_new.sync, body=spec)
    api.world.clock.step(1)
    sync = await ask(notebook_data_sync.sync, made.id, body=DataSyncSpec(direction=DataSyncSpecDirection.PUSH))
    found = await ask(notebook_get.sync, made.id)
    assert found.spec.volumes[0].data_store.prefix == "in"
    newest = found.status.data_sync[0]
    assert (newest.id, newest.status.state, str(newest.spec.direction)) == (sync.id, "DONE", "push")
    assert newest.status.progress[0].notebook_volume.mount_path == "/data"
    assert found.status.volumes[0].last_pulled_created_at.tzinfo is not None
    await api.order(made.id, "stop")
    (backup,) = (await ask(notebook_list_backup.sync, made.id)).items
    assert (await ask(notebook_get_backup.sync, made.id, backup.id)).mount_path == "/workspace"
    forked = await ask(notebook_create_from_backup.sync, made.id, backup.id)
    assert forked.id != made.id
    assert list(nulls(await api.get(forked.id))) == []
