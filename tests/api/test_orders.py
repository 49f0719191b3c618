# SPDX-License-Identifier: Apache-2.0
"""Which order is legal in which state, and what a change may change when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from multidict import CIMultiDict

from notebookd.domain.ids import NotebookId
from notebookd.domain.quota import QuotaRule
from tests.api.caller import SPEC, Api
from tests.api.people import People

TABLE: list[tuple[str, dict[str, int]]] = [
    ("STARTING", {"start": 204, "stop": 204, "restart": 409, "delete": 409}),
    ("RUNNING", {"start": 204, "stop": 204, "restart": 204, "delete": 409}),
    ("RESTARTING", {"start": 204, "stop": 204, "restart": 204, "delete": 409}),
    ("STOPPING", {"start": 204, "stop": 204, "restart": 409, "delete": 409}),
    ("STOPPED", {"start": 204, "stop": 204, "restart": 409, "delete": 204}),
    ("FAILED", {"start": 204, "stop": 204, "restart": 409, "delete": 204}),
    ("ERROR", {"start": 204, "stop": 204, "restart": 409, "delete": 204}),
    ("DELETING", {"start": 409, "stop": 409, "restart": 409, "delete": 204}),
]
CHANGES_NOTHING = {
    *(("start", state) for state in ("STARTING", "RUNNING", "RESTARTING")),
    *(("stop", state) for state in ("STOPPING", "STOPPED", "FAILED", "ERROR")),
    ("restart", "RESTARTING"),
    ("delete", "DELETING"),
}


async def brought_to(api: Api, state: str) -> str:
    """A notebook in that state, which stays in it."""
    engine, editor = api.world.engine, api.world.editor
    editor.silent = state == "STARTING"
    if state == "ERROR":
        kept = dict(engine.images)
        engine.images.clear()
        notebook = await api.create()
        engine.images.update(kept)
        return notebook
    notebook = await api.create()
    match state:
        case "RESTARTING":
            editor.silent = True
            await api.order(notebook, "restart")
        case "STOPPING":
            engine.hold("stop")
            await api.order(notebook, "stop")
        case "STOPPED":
            await api.order(notebook, "stop")
        case "FAILED":
            engine.end(api.container(notebook).spec.name, 1)
            await api.house.quiet()
        case "DELETING":
            engine.hold("remove")
            await api.call("DELETE", f"/v1/notebook/{notebook}?force=true")
    return notebook


@pytest.mark.parametrize(
    ("state", "order", "status"),
    [(state, order, status) for state, orders in TABLE for order, status in orders.items()],
)
async def test_orders_are_legal_where_the_table_says(api: Api, state: str, order: str, status: int) -> None:
    notebook = await brought_to(api, state)
    assert await api.state(notebook) == state
    before, mark = await api.get(notebook), api.house.store.last_event_id()
    method, path = ("DELETE", "") if order == "delete" else ("PUT", f"/{order}")
    said = await api.call(method, f"/v1/notebook/{notebook}{path}")
    assert said.status == status, said.body
    if status == 409:
        assert said.code == "conflict"
        assert state in said.body["message"]
        assert said.body["details"]["state"] == state
        assert state != "STOPPING" or order == "delete" or "waits for it" in said.body["hint"]
    if status == 409 or (order, state) in CHANGES_NOTHING:
        assert api.house.store.last_event_id() == mark
        assert (await api.get(notebook))["status"]["lastJobStatus"] == before["status"]["lastJobStatus"]
    elif order == "delete":
        assert (await api.call("GET", f"/v1/notebook/{notebook}")).status == 404
    else:
        assert api.house.store.last_event_id() > mark


def release(api: Api) -> None:
    for hold in api.world.engine._holds.values():
        hold.release()


async def test_a_start_while_it_stops_comes_after(api: Api) -> None:
    notebook = await brought_to(api, "STOPPING")
    for _ in range(2):
        assert (await api.order(notebook, "start")).status == 204
    assert await api.state(notebook) == "STOPPING"
    why = await api.call("GET", f"/v1/notebook/{notebook}/why")
    assert "It starts again when it has stopped." in " ".join(why.body["sentences"])
    release(api)
    await api.house.quiet()
    after = await api.get(notebook)
    assert after["status"]["state"] == "RUNNING"
    assert [str(run.state) for run in api.house.store.list_runs(NotebookId(notebook))] == ["INTERRUPTED", "RUNNING"]
    events = api.house.store.list_events(after=0, limit=99, notebook_id=None, owner=None)
    assert [each.actor for each in events if each.type == "notebook.start-asked"] == ["root"]
    assert [each.actor for each in events if each.after == "STARTING"] == ["root", "root"]


async def test_the_last_word_while_it_stops_counts(api: Api) -> None:
    notebook = await brought_to(api, "STOPPING")
    for order in ("start", "stop", "start", "stop"):
        assert (await api.order(notebook, order)).status == 204
    release(api)
    await api.house.quiet()
    assert await api.state(notebook) == "STOPPED"


async def test_one_that_is_deleted_while_it_stops_does_not_start(api: Api) -> None:
    notebook = await brought_to(api, "STOPPING")
    await api.order(notebook, "start")
    assert (await api.call("DELETE", f"/v1/notebook/{notebook}?force=true")).status == 204
    release(api)
    await api.house.quiet()
    assert (await api.call("GET", f"/v1/notebook/{notebook}")).status == 404


async def test_a_name_is_its_owners_once(api: Api) -> None:
    first = await api.create(name="mine")
    said = await api.call("POST", "/v1/notebook", {**SPEC, "name": "mine"})
    assert (said.status, said.code) == (409, "conflict")
    assert said.body["message"] == "cannot create the notebook: root has a notebook named mine"
    assert said.body["details"]["notebook"] == first
    await api.order(first, "stop")
    assert (await api.call("POST", "/v1/notebook", {**SPEC, "name": "mine"})).status == 409, (
        "also of one that is stopped"
    )


async def test_a_notebook_that_is_being_deleted_has_given_up_its_name(api: Api) -> None:
    first = await api.create(name="mine")
    api.world.engine.hold("remove")
    assert (await api.call("DELETE", f"/v1/notebook/{first}?force=true")).status == 204
    assert await api.state(first) == "DELETING"
    assert (await api.call("POST", "/v1/notebook", {**SPEC, "name": "mine"})).status == 200
    release(api)
    await api.house.quiet()


async def test_names_that_nobody_chose_are_unique_too(api: Api) -> None:
    unnamed = {key: value for key, value in SPEC.items() if key != "name"} | {"resources": {"cpu": 1}}
    made = [await api.call("POST", "/v1/notebook", unnamed) for _ in range(12)]
    names = [each.body["spec"]["name"] for each in made]
    assert len(set(names)) == 12


@pytest.mark.parametrize("state", [state for state, _ in TABLE if state != "DELETING"])
async def test_with_force_a_notebook_is_deleted_from_any_state(api: Api, state: str) -> None:
    notebook = await brought_to(api, state)
    assert (await api.call("DELETE", f"/v1/notebook/{notebook}?force=true")).status == 204
    release(api)
    await api.house.pass_time(30)
    assert (await api.call("GET", f"/v1/notebook/{notebook}")).status == 404
    assert api.world.engine.containers == {}


@pytest.mark.parametrize("order", ["start", "stop", "restart"])
@pytest.mark.parametrize("body", [b"", b"{}", b"null"])
async def test_orders_need_no_body(api: Api, order: str, body: bytes) -> None:
    said = await api.call("PUT", f"/v1/notebook/{await api.create()}/{order}", raw=body)
    assert said.status == 204


async def test_url_and_id_outlive_stop_and_start(api: Api) -> None:
    notebook = await api.create()
    url = (await api.get(notebook))["status"]["url"]
    assert url == f"http://{notebook}.localhost:8421/"
    for order in ("stop", "start", "restart", "stop"):
        await api.order(notebook, order)
        assert (await api.get(notebook))["status"]["url"] == url


async def test_an_upper_case_id_is_the_same_notebook(api: Api) -> None:
    notebook = await api.create()
    assert (await api.get(notebook.upper()))["id"] == notebook


# change


async def change(api: Api, notebook: str, **fields: Any) -> int:
    said = await api.call("PUT", f"/v1/notebook/{notebook}", fields)
    return said.status


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1dCBub3QgYSByZWFsIGtleQ== me@home"


async def test_an_absent_field_is_unchanged(api: Api) -> None:
    notebook = await api.create(labels={"a": "1"}, sshPublicKeys=[KEY], timeoutAutoRestart=True, unsecureHttp=True)
    before = (await api.get(notebook))["spec"]
    assert await change(api, notebook) == 204
    assert (await api.get(notebook))["spec"] == before
    assert await change(api, notebook, labels={"b": "2"}) == 204
    assert (await api.get(notebook))["spec"] == {**before, "labels": {"b": "2"}}


async def test_null_resets(api: Api) -> None:
    notebook = await api.create(
        labels={"a": "1"}, sshPublicKeys=[KEY], timeoutAutoRestart=True, unsecureHttp=True, resources={"gpu": 2}
    )
    await api.order(notebook, "stop")
    fields = ("labels", "sshPublicKeys", "timeoutAutoRestart", "unsecureHttp", "resources", "volumes")
    assert await change(api, notebook, **dict.fromkeys(fields)) == 204
    await api.order(notebook, "start")
    spec = (await api.get(notebook))["spec"]
    assert spec["labels"] == {}
    assert spec["sshPublicKeys"] == []
    assert spec["timeoutAutoRestart"] is False
    assert spec["unsecureHttp"] is False
    assert spec["resources"]["gpu"] == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"resources": {"gpu": 2}},
        {"resources": {"cpu": 1}},
        {"sshPublicKeys": [KEY]},
        {"unsecureHttp": True},
        {"volumes": [{"mountPath": "/d", "permission": "RW", "cache": False, "standalone": {}}]},
    ],
)
async def test_what_needs_a_stop_is_refused_before_and_taken_after(api: Api, fields: dict[str, Any]) -> None:
    notebook = await api.create()
    said = await api.call("PUT", f"/v1/notebook/{notebook}", fields)
    assert (said.status, said.code) == (409, "conflict")
    await api.order(notebook, "stop")
    assert await change(api, notebook, **fields) == 204
    assert (await api.order(notebook, "start")).status == 204
    spec = (await api.get(notebook))["spec"]
    for field, value in fields.items():
        if field == "resources":
            assert value.items() <= spec[field].items()
        else:
            assert spec[field] == value


async def test_a_value_equal_to_the_stored_one_is_no_change_while_it_runs(api: Api) -> None:
    notebook = await api.create(sshPublicKeys=[KEY], unsecureHttp=True, resources={"gpu": 1})
    spec = (await api.get(notebook))["spec"]
    mark = api.house.store.last_event_id()
    same = {key: spec[key] for key in ("resources", "sshPublicKeys", "unsecureHttp", "labels", "timeoutAutoRestart")}
    assert await change(api, notebook, **same, volumes=[]) == 204
    assert api.house.store.last_event_id() == mark


@pytest.mark.parametrize("fields", [{"labels": {"team": "red"}}, {"timeoutAutoRestart": True}])
async def test_labels_and_auto_restart_change_at_any_time(api: Api, fields: dict[str, Any]) -> None:
    notebook = await api.create()
    assert await change(api, notebook, **fields) == 204
    assert fields.items() <= (await api.get(notebook))["spec"].items()
    assert await api.state(notebook) == "RUNNING"


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({"name": "other"}, {"$.name"}),
        ({"env": {"editorId": "x", "frameworkId": "conda"}, "urL": 1}, {"$.env.editorId", "$.urL"}),
        ({"labels": {"ovh/x": "1"}, "resources": {"gpu": 1, "cpu": 1}}, {"$.labels.ovh/x", "$.resources"}),
        ({"resources": {"gpu": 99}}, {"$.resources.gpu"}),
        ({"volumes": [{"mountPath": "/d", "permission": "ro", "standalone": {}}]}, {"$.volumes[0].permission"}),
        ({"sshPublicKeys": [KEY] * 11, "unsecureHttp": "no"}, {"$.sshPublicKeys", "$.unsecureHttp"}),
    ],
)
async def test_a_change_at_fault_is_refused_with_every_path(api: Api, fields: dict[str, Any], paths: set[str]) -> None:
    notebook = await api.create()
    await api.order(notebook, "stop")
    before = (await api.get(notebook))["spec"]
    said = await api.call("PUT", f"/v1/notebook/{notebook}", fields)
    assert said.status == 400
    assert said.faults.keys() == paths
    assert (await api.get(notebook))["spec"] == before


async def test_a_change_of_an_old_version_is_refused(api: Api) -> None:
    notebook = await api.create()
    tag = (await api.call("GET", f"/v1/notebook/{notebook}")).headers["ETag"]
    path = f"/v1/notebook/{notebook}"
    assert (await api.call("PUT", path, {"labels": {"a": "1"}}, headers={"If-Match": tag})).status == 204
    said = await api.call("PUT", path, {"labels": {"a": "2"}}, headers={"If-Match": tag})
    assert (said.status, said.code) == (412, "precondition-failed")
    assert (await api.get(notebook))["spec"]["labels"] == {"a": "1"}
    either = {"If-Match": f'"of another time", {(await api.call("GET", path)).headers["ETag"]}'}
    assert (await api.call("PUT", path, {"labels": {"a": "2"}}, headers=either)).status == 204
    assert (await api.call("PUT", path, {"labels": {"a": "3"}}, headers=either)).status == 412
    assert (await api.call("PUT", path, {"labels": {"a": "3"}}, headers={"If-Match": "*"})).status == 204
    later = (await api.call("GET", path)).headers["ETag"]
    assert later != tag
    assert (await api.call("PUT", path, {"labels": {"a": "4"}}, headers={"If-Match": later})).status == 204


async def test_a_weak_tag_is_no_version_and_several_headers_are_one_list(api: Api) -> None:
    path = f"/v1/notebook/{await api.create()}"
    tag = (await api.call("GET", path)).headers["ETag"]
    change = {"labels": {"a": "1"}}
    assert (await api.call("PUT", path, change, headers={"If-Match": f"W/{tag}"})).status == 412
    assert (await api.call("PUT", path, change, headers={"If-Match": ""})).status == 412
    several = CIMultiDict([("If-Match", '"of another time"'), ("If-Match", tag)])
    assert (await api.call("PUT", path, change, headers=several)).status == 204


async def test_the_tag_changes_with_the_state(api: Api) -> None:
    notebook = await api.create()
    tags = {(await api.call("GET", f"/v1/notebook/{notebook}")).headers["ETag"]}
    for order in ("restart", "stop", "start"):
        await api.order(notebook, order)
        tags.add((await api.call("GET", f"/v1/notebook/{notebook}")).headers["ETag"])
    assert len(tags) == 4


# labels


async def test_a_label_is_set_and_removed(api: Api) -> None:
    notebook = await api.create(labels={"keep": "me"})
    path = f"/v1/notebook/{notebook}/label"
    assert (await api.call("PUT", path, {"name": "team", "value": "red"})).status == 204
    assert (await api.get(notebook))["spec"]["labels"] == {"keep": "me", "team": "red"}
    for removal in ({"value": ""}, {"value": None}, {}):
        await api.call("PUT", path, {"name": "team", "value": "red"})
        assert (await api.call("PUT", path, {"name": "team", **removal})).status == 204
        assert (await api.get(notebook))["spec"]["labels"] == {"keep": "me"}


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("ovh/id", "x", 400),
        ("notebookd/owner", "x", 400),
        ("notebookd/owner", "", 400),
        ("notebookd/idle-stop", "4h", 204),
        ("notebookd/idle-stop", "off", 204),
        ("notebookd/idle-stop", "", 204),
        ("notebookd/idle-stop", "late", 400),
        ("", "x", 400),
        ("a b", "x", 400),
        ("a", "x" * 256, 400),
        ("x" * 129, "x", 400),
    ],
)
async def test_labels_of_the_platform_are_its_own(api: Api, name: str, value: str, status: int) -> None:
    notebook = await api.create()
    said = await api.call("PUT", f"/v1/notebook/{notebook}/label", {"name": name, "value": value})
    assert said.status == status, said.body
    if status == 400:
        assert said.faults.keys() == {"$.name"} or said.faults.keys() == {"$.value"}


async def test_labels_beyond_their_number_are_refused_one_by_one_too(api: Api) -> None:
    notebook = await api.create(labels={f"l{number}": "x" for number in range(64)})
    said = await api.call("PUT", f"/v1/notebook/{notebook}/label", {"name": "one-more", "value": "x"})
    assert said.status == 400


# idempotency, quota


async def test_the_same_key_gives_the_same_notebook(api: Api) -> None:
    headers = {"Idempotency-Key": "one"}
    first = await api.call("POST", "/v1/notebook", SPEC, headers=headers)
    second = await api.call("POST", "/v1/notebook", SPEC, headers=headers)
    assert (first.status, second.status) == (200, 200)
    assert first.body["id"] == second.body["id"]
    assert (await api.call("GET", "/v1/notebook")).body["metadata"]["total"] == 1


async def test_the_same_key_with_another_body_is_a_conflict(api: Api) -> None:
    headers = {"Idempotency-Key": "one"}
    await api.call("POST", "/v1/notebook", SPEC, headers=headers)
    said = await api.call("POST", "/v1/notebook", {**SPEC, "name": "other"}, headers=headers)
    assert (said.status, said.code) == (409, "conflict")


async def test_another_key_is_another_notebook(api: Api) -> None:
    made = [(await api.call("POST", "/v1/notebook", SPEC, headers={"Idempotency-Key": k})).body["id"] for k in "ab"]
    assert made[0] != made[1]


async def test_a_refused_request_does_not_use_the_key_up(api: Api) -> None:
    headers = {"Idempotency-Key": "one"}
    assert (await api.call("POST", "/v1/notebook", {**SPEC, "name": "A"}, headers=headers)).status == 400
    assert (await api.call("POST", "/v1/notebook", SPEC, headers=headers)).status == 200


async def test_the_key_of_a_deleted_notebook_makes_no_other(api: Api) -> None:
    headers = {"Idempotency-Key": "one"}
    first = await api.call("POST", "/v1/notebook", SPEC, headers=headers)
    await api.call("DELETE", f"/v1/notebook/{first.body['id']}?force=true")
    said = await api.call("POST", "/v1/notebook", SPEC, headers=headers)
    assert (said.status, said.code) == (409, "conflict")
    assert (await api.call("GET", "/v1/notebook")).body["metadata"]["total"] == 0


@pytest.mark.parametrize("key", ["", "x" * 256, "\udcff", "clé"], ids=ascii)
async def test_a_key_of_no_or_great_length_or_odd_characters_is_refused(api: Api, key: str) -> None:
    assert (await api.call("POST", "/v1/notebook", SPEC, headers={"Idempotency-Key": key})).status == 400


async def test_two_requests_with_one_key_at_once_make_one_notebook(api: Api) -> None:
    headers = {"Idempotency-Key": "one"}
    both = await asyncio.gather(*(api.call("POST", "/v1/notebook", SPEC, headers=headers) for _ in range(4)))
    assert {said.status for said in both} == {200}
    assert len({said.body["id"] for said in both}) == 1


async def test_engine_and_driver_out_of_reach_are_said_and_orders_are_taken(api: Api) -> None:
    notebook = await api.create()
    api.world.engine.reachable = False
    api.world.gpus.become_unavailable()
    health = await api.call("GET", "/v1/health")
    assert health.status == 200
    assert health.body["status"] == "failed"
    assert {name: each["status"] for name, each in health.body["dependencies"].items()} == {
        "store": "ok",
        "engine": "failed",
        "gpus": "failed",
    }
    assert (await api.order(notebook, "stop")).status == 204
    assert await api.state(notebook) == "STOPPING"
    said = await api.call("GET", f"/v1/notebook/{notebook}/log")
    assert (said.status, said.code) == (503, "engine-unavailable")


async def test_a_full_disk_refuses_a_start_with_503(api: Api) -> None:
    api.house.rule(min_free_bytes=2**62)
    said = await api.call("POST", "/v1/notebook", SPEC)
    assert (said.status, said.code) == (503, "store-unavailable")


async def test_a_disk_without_inodes_refuses_a_start_and_stops_and_deletes(api: Api) -> None:
    if (await api.house.store.disk_use()).free_inodes is None:
        pytest.skip("this file system makes inodes as they are wanted")
    notebook = await api.create()
    api.house.rule(min_free_inodes=2**62)
    said = await api.call("POST", "/v1/notebook", SPEC)
    assert (said.status, said.code) == (503, "store-unavailable")
    assert "inodes of the disk are free" in said.body["message"]
    assert "`notebookctl rm NOTEBOOK:PATH`" in said.body["hint"]
    assert (await api.order(notebook, "stop")).status == 204
    assert (await api.order(notebook, "start")).status == 503
    assert (await api.call("DELETE", f"/v1/notebook/{notebook}")).status == 204


async def test_a_quota_does_not_bind_root(api: Api) -> None:
    api.world.quotas["root"] = QuotaRule(gpus=0, notebooks=0)
    assert (await api.call("POST", "/v1/notebook", SPEC)).status == 200


# what never changes


async def test_a_spec_is_put_back_whole_with_other_labels(api: Api) -> None:
    notebook = await api.create(envVars=[{"name": "A", "value": "b"}], labels={"team": "red"}, resources={"gpu": 1})
    spec = (await api.get(notebook))["spec"]
    said = await api.call("PUT", f"/v1/notebook/{notebook}", {**spec, "labels": {"team": "blue"}})
    assert said.status == 204, said.body
    assert (await api.get(notebook))["spec"] == {**spec, "labels": {"team": "blue"}}


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("$.name", {"name": "another"}),
        ("$.env.editorId", {"env": {"editorId": "vscode", "frameworkId": "conda"}}),
        ("$.env.frameworkVersion", {"env": {**SPEC["env"], "frameworkVersion": "py311"}}),
    ],
)
async def test_what_never_changes_is_refused_with_another_value(api: Api, path: str, change: dict[str, Any]) -> None:
    notebook = await api.create(name="mine", envVars=[{"name": "A", "value": "b"}])
    said = await api.call("PUT", f"/v1/notebook/{notebook}", {**change, "labels": {"a": "b"}})
    assert (said.status, list(said.faults)) == (400, [path])
    assert (await api.get(notebook))["spec"]["labels"] == {}


async def test_health_is_asked_once_a_second_whoever_asks_and_no_later(api: Api) -> None:
    asked = 0

    def count() -> None:
        nonlocal asked
        asked += 1
        api.world.engine.before("info", count)

    async def engine() -> str:
        return str((await api.call("GET", "/v1/health")).body["dependencies"]["engine"]["status"])

    await api.house.pass_time(2)
    api.world.engine.before("info", count)
    assert set(await asyncio.gather(*(engine() for _ in range(8)))) == {"ok"}
    assert asked == 1
    api.world.engine.reachable = False
    await api.house.pass_time(1)
    assert await engine() == "failed"
    api.world.engine.reachable = True
    await api.house.pass_time(1)
    assert await engine() == "ok"


# another name


async def rename(api: Api, notebook: str, name: object) -> Any:
    return await api.call("PUT", f"/v1/notebook/{notebook}/rename", {"name": name})


async def test_a_notebook_is_renamed_while_it_runs(api: Api) -> None:
    notebook = await api.create(name="mine")
    before = await api.get(notebook)
    assert (await rename(api, notebook, "better")).status == 204
    after = await api.get(notebook)
    assert after["spec"] == {**before["spec"], "name": "better"}
    assert (after["id"], after["status"]["url"], after["status"]["state"]) == (
        notebook,
        before["status"]["url"],
        "RUNNING",
    )
    (container,) = api.world.engine.containers.values()
    assert container.spec.env["NOTEBOOK_NAME"] == "mine", "until the next start"
    await api.order(notebook, "stop")
    await api.order(notebook, "start")
    (container,) = api.world.engine.containers.values()
    assert (container.spec.env["NOTEBOOK_NAME"], container.spec.hostname) == ("better", "better")
    assert (await api.call("POST", "/v1/notebook", {**SPEC, "name": "mine"})).status == 200, "the old name is free"


async def test_a_name_that_its_owner_has_given_is_refused(api: Api, people: People) -> None:
    first, second = await api.create(name="mine"), await api.create(name="other")
    said = await rename(api, second, "mine")
    assert (said.status, said.code) == (409, "conflict")
    assert said.body["message"] == f"cannot rename notebook {second}: root has a notebook named mine"
    assert said.body["details"]["notebook"] == first
    assert (await rename(api, second, "other")).status == 204, "its own name is no conflict"
    theirs = (await api.ask_as(people.alice, "POST", "/v1/notebook", {**SPEC, "name": "theirs"})).body["id"]
    assert (await rename(api, theirs, "mine")).status == 204, "names are the owner's, whoever renames"
    assert (await rename(api, first, "theirs")).status == 204


@pytest.mark.parametrize("name", ["", "-a", "A", "a b", "n" * 64, None, 1])
async def test_what_is_no_name_is_refused(api: Api, name: object) -> None:
    notebook = await api.create(name="mine")
    said = await rename(api, notebook, name)
    assert (said.status, list(said.faults)) == (400, ["$.name"])
    assert (await api.get(notebook))["spec"]["name"] == "mine"


async def test_what_is_being_deleted_keeps_its_name(api: Api) -> None:
    notebook = await brought_to(api, "DELETING")
    assert (await rename(api, notebook, "better")).status == 409


async def test_variables_change_while_it_is_stopped_and_hold_from_the_next_start(api: Api) -> None:
    notebook = await api.create(envVars=[{"name": "A", "value": "b"}])
    change = {"envVars": [{"name": "C", "value": "d"}]}
    said = await api.call("PUT", f"/v1/notebook/{notebook}", change)
    assert (said.status, said.code) == (409, "conflict")
    await api.order(notebook, "stop")
    assert (await api.call("PUT", f"/v1/notebook/{notebook}", {"envVars": [{"name": "1", "value": ""}]})).status == 400
    assert (await api.call("PUT", f"/v1/notebook/{notebook}", change)).status == 204
    await api.order(notebook, "start")
    (container,) = api.world.engine.containers.values()
    assert container.spec.env["C"] == "d"
    assert "A" not in container.spec.env
    await api.order(notebook, "stop")
    assert (await api.call("PUT", f"/v1/notebook/{notebook}", {"envVars": None})).status == 204
    assert not (await api.get(notebook))["spec"].get("envVars")
