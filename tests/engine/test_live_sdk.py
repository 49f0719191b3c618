# SPDX-License-Identifier: Apache-2.0
"""The public ``ovhai`` SDK against a running notebookd: each call that is in scope, ``test_call_<module>``."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from ovhai.errors import UnexpectedStatus
from ovhai.models import (
    DataStoreVolumeSource,
    DataSyncSpec,
    DataSyncSpecDirection,
    LabelUpdate,
    Notebook,
    NotebookBackup,
    NotebookEnv,
    NotebookSpec,
    NotebookSpecLabelsType0,
    NotebookSpecUpdate,
    NotebookSpecUpdateLabelsType0,
    Order,
    Resources,
    Token,
    TokenSpec,
    Volume,
)
from ovhai.ovhai_types import Unset

from tests.engine.live import Machine, eventually
from tests.engine.remote import ALIAS, Remote
from tests.engine.sdk import Sdk, calls

pytestmark = pytest.mark.engine

NOWHERE = "00000000-0000-4000-8000-000000000000"
LONGEST_S = 120


@pytest.fixture(scope="module")
def sdk(outer: Machine) -> Iterator[Sdk]:
    """The SDK on the socket of the notebookd that the tests run in."""
    made = Sdk.at(str(outer.socket))
    with made.client:
        yield made


def spec(**fields: Any) -> NotebookSpec:
    """The least that can be asked for."""
    return NotebookSpec(env=NotebookEnv(editor_id="jupyterlab", framework_id="conda"), **fields)


def in_state(sdk: Sdk, notebook: str, *states: str) -> Notebook:
    """The notebook, once it is in one of the states."""
    return eventually(
        lambda: sdk.get("notebook_get", notebook),
        lambda seen: str(seen.status.state) in states,
        within_s=LONGEST_S,
        what=f"{notebook} in one of {states}",
    )


Make = Callable[..., Notebook]


@pytest.fixture(scope="module")
def make(sdk: Sdk, outer: Machine) -> Iterator[Make]:
    """Makes a notebook that is gone after the module."""

    def made(**fields: Any) -> Notebook:
        notebook = sdk.get("notebook_new", body=spec(**fields))
        outer.made.append(notebook.id)
        return notebook

    yield made
    outer.clean_up()


@pytest.fixture(scope="module")
def running(sdk: Sdk, make: Make) -> Notebook:
    """One that runs, for those who only look or label."""
    labels = NotebookSpecLabelsType0.from_dict({"suite": "sdk", "kept": "yes"})
    return in_state(sdk, make(name="sdk-running", labels=labels).id, "RUNNING")


@pytest.fixture(scope="module")
def stopped(sdk: Sdk, make: Make) -> Notebook:
    """One that ran and was stopped."""
    notebook = in_state(sdk, make(name="sdk-stopped", resources=Resources(cpu=1)).id, "RUNNING")
    sdk.do("notebook_stop", notebook.id)
    return in_state(sdk, notebook.id, "STOPPED")


# notebooks


def test_call_notebook_new(sdk: Sdk, make: Make) -> None:
    made = make(name="sdk-new", resources=Resources(cpu=1), volumes=None, env_vars=None, ssh_public_keys=None)
    assert uuid.UUID(made.id)
    assert (made.spec.name, made.spec.env.editor_id, made.spec.env.framework_id) == ("sdk-new", "jupyterlab", "conda")
    assert made.spec.env.framework_version
    assert (made.spec.resources.cpu, made.spec.resources.flavor) == (1, "cpu")
    assert str(made.status.state) == "STARTING"
    assert made.id in made.status.url
    assert made.created_at.utcoffset() == timedelta(0)
    assert (sdk.ask("notebook_new", body=spec(name="NO NAME"))).status_code == 400


def test_call_notebook_get(sdk: Sdk, running: Notebook, outer: Machine) -> None:
    found = sdk.get("notebook_get", running.id)
    job = found.status.last_job_status
    assert (found.id, found.user, str(found.status.state)) == (running.id, outer.client.me().value.name, "RUNNING")
    assert str(found.status.info.code) == "NOTEBOOK_RUNNING"
    assert str(job.info.code) == "JOB_RUNNING"
    assert [str(each.state) for each in job.history] == ["PENDING", "RUNNING"]
    assert job.queued_at <= job.started_at
    assert job.timeout_at - job.started_at == timedelta(days=7)
    assert 0 <= job.duration <= found.status.duration
    assert found.spec.resources.gpu == 1
    assert found.spec.resources.gpu_model
    assert found.spec.resources.memory > 0
    assert found.status.workspace.storage_free > 0
    assert sdk.ask("notebook_get", NOWHERE).status_code == 404
    assert sdk.ask("notebook_get", "no-id").status_code == 404


def test_call_notebook_get_all(sdk: Sdk, running: Notebook, stopped: Notebook) -> None:
    page = sdk.get("notebook_get_all")
    assert {running.id, stopped.id} <= {each.id for each in page.items}
    assert page.metadata.total == len(page.items)
    assert not isinstance(page.metadata.links, Unset)
    named = sdk.get("notebook_get_all", size=1, page=1, sort="spec.name", order=Order.DESC, with_spark=True)
    assert [each.spec.name for each in named.items] == ["sdk-stopped"]
    assert named.metadata.links.next_
    chosen = sdk.get("notebook_get_all", label_selector="suite=sdk", status_state=["RUNNING"])
    assert [each.id for each in chosen.items] == [running.id]
    later = sdk.get("notebook_get_all", updated_after=int(running.created_at.timestamp()) + 10**6)
    assert later.items == []


def test_call_notebook_edit(sdk: Sdk, stopped: Notebook) -> None:
    sdk.do("notebook_edit", stopped.id, body=NotebookSpecUpdate(timeout_auto_restart=True, unsecure_http=True))
    found = sdk.get("notebook_get", stopped.id)
    assert (found.spec.timeout_auto_restart, found.spec.unsecure_http) == (True, True)
    assert sdk.ask("notebook_edit", NOWHERE, body=NotebookSpecUpdate(unsecure_http=True)).status_code == 404
    wish = NotebookSpecUpdate(resources=Resources(cpu=10**6))
    assert sdk.ask("notebook_edit", stopped.id, body=wish).status_code == 400


def test_a_notebook_is_put_back_whole_with_other_labels(sdk: Sdk, running: Notebook) -> None:
    found = sdk.get("notebook_get", running.id)
    found.spec.labels["changed"] = "yes"
    sdk.do("notebook_edit", running.id, body=NotebookSpecUpdate.from_dict(found.spec.to_dict()))
    again = sdk.get("notebook_get", running.id)
    assert again.spec == found.spec
    assert again.spec.labels["kept"] == "yes"
    labels = NotebookSpecUpdateLabelsType0.from_dict(found.spec.labels.to_dict())
    fields = {name: getattr(found.spec, name) for name in ("resources", "ssh_public_keys", "unsecure_http", "volumes")}
    sdk.do("notebook_edit", running.id, body=NotebookSpecUpdate(labels=labels, **fields))
    assert sdk.get("notebook_get", running.id).spec == found.spec


def test_call_notebook_edit_label(sdk: Sdk, running: Notebook) -> None:
    sdk.do("notebook_edit_label", running.id, body=LabelUpdate(name="team", value="red"))
    assert sdk.get("notebook_get", running.id).spec.labels["team"] == "red"
    sdk.do("notebook_edit_label", running.id, body=LabelUpdate(name="team"))
    assert "team" not in sdk.get("notebook_get", running.id).spec.labels
    assert sdk.ask("notebook_edit_label", running.id, body=LabelUpdate(name="ovh/x", value="1")).status_code == 400


def test_call_notebook_stop(sdk: Sdk, stopped: Notebook) -> None:
    job = stopped.status.last_job_status
    assert str(job.state) == "INTERRUPTED"
    assert str(stopped.status.info.code) == "JOB_INTERRUPTED"
    assert job.stopped_at <= job.finalized_at
    assert stopped.status.last_stopped_at >= stopped.status.last_started_at
    sdk.do("notebook_stop", stopped.id)
    assert sdk.ask("notebook_stop", NOWHERE).status_code == 404


def test_call_notebook_start(sdk: Sdk, stopped: Notebook) -> None:
    sdk.do("notebook_start", stopped.id)
    again = in_state(sdk, stopped.id, "RUNNING")
    assert again.status.url == stopped.status.url
    assert again.status.last_started_at > stopped.status.last_started_at
    assert again.status.duration >= again.status.last_job_status.duration
    sdk.do("notebook_start", stopped.id)
    sdk.do("notebook_stop", stopped.id)
    in_state(sdk, stopped.id, "STOPPED")


def test_call_notebook_delete(sdk: Sdk, make: Make) -> None:
    notebook = make(name="sdk-deleted", resources=Resources(cpu=1))
    with pytest.raises(UnexpectedStatus) as refused:
        sdk.ask("notebook_delete", notebook.id)
    assert refused.value.status_code == 409
    assert b'"code":"conflict"' in refused.value.content
    sdk.do("notebook_delete", notebook.id, force=True)
    eventually(lambda: sdk.ask("notebook_get", notebook.id).status_code, lambda status: status == 404, within_s=60)


def test_call_notebook_cli_command(sdk: Sdk) -> None:
    told = sdk.get("notebook_cli_command", body=spec(name="sdk-told", resources=Resources(cpu=2)))
    assert told.command == "notebookctl run conda jupyterlab --cpu 2 --name sdk-told"


def test_call_notebook_exec(sdk: Sdk, running: Notebook) -> None:
    assert sdk.ask("notebook_exec", running.id, command=["true"]).status_code == 400  # plain HTTP cannot be upgraded
    assert sdk.ask("notebook_exec", NOWHERE, command=["true"]).status_code == 404


# data and backups


@pytest.fixture(scope="module")
def data_sdk(data_machine: Machine) -> Iterator[Sdk]:
    """The SDK on the socket of a notebookd with a datastore."""
    made = Sdk.at(str(data_machine.socket))
    with made.client:
        yield made
    data_machine.clean_up()


@pytest.fixture(scope="module")
def kept(data_sdk: Sdk, data_machine: Machine, remote: Remote) -> Notebook:
    """One that has data, and that was stopped, which took a snapshot."""
    (remote.files / "sets" / "in").mkdir(parents=True)
    (remote.files / "sets" / "in" / "a.txt").write_text("aa")
    source = DataStoreVolumeSource(alias=ALIAS, container="sets", prefix="in")
    volume = Volume(mount_path="/data", permission="RW", data_store=source)
    made = data_sdk.get("notebook_new", body=spec(name="sdk-data", resources=Resources(cpu=1), volumes=[volume]))
    data_machine.made.append(made.id)
    in_state(data_sdk, made.id, "RUNNING")
    data_machine.execute(made.id, "sh", "-c", "cat /data/a.txt >/workspace/kept; echo new >/data/b.txt")
    return made


def test_call_notebook_data_sync(data_sdk: Sdk, kept: Notebook, remote: Remote) -> None:
    (volume,) = kept.spec.volumes
    assert (volume.mount_path, volume.permission, volume.data_store.alias) == ("/data", "RW", ALIAS)
    body = DataSyncSpec(direction=DataSyncSpecDirection.PUSH, manual=True)
    sync = data_sdk.get("notebook_data_sync", kept.id, body=body)
    assert (str(sync.spec.direction), sync.spec.manual) == ("push", True)
    assert sync.status.queued_at >= kept.created_at

    def seen() -> Any:
        found = data_sdk.get("notebook_get", kept.id).status.data_sync
        return next((each for each in found if each.id == sync.id), None)

    done = eventually(seen, lambda each: each is not None and str(each.status.state) == "DONE", within_s=60)
    assert done.status.queued_at <= done.status.started_at <= done.status.ended_at
    assert [str(each.direction) for each in done.status.progress] == ["push"]
    assert (remote.files / "sets" / "in" / "b.txt").read_text() == "new\n"
    assert data_sdk.ask("notebook_data_sync", NOWHERE, body=body).status_code == 404


@pytest.fixture(scope="module")
def backup(data_sdk: Sdk, kept: Notebook) -> NotebookBackup:
    """The snapshot that a stop took."""
    data_sdk.do("notebook_stop", kept.id)
    in_state(data_sdk, kept.id, "STOPPED")
    (found,) = data_sdk.get("notebook_list_backup", kept.id).items
    return found


def test_call_notebook_list_backup(data_sdk: Sdk, kept: Notebook, backup: NotebookBackup) -> None:
    page = data_sdk.get("notebook_list_backup", kept.id, page=1, size=10, order=Order.DESC)
    assert [each.id for each in page.items] == [backup.id]
    assert (page.metadata.total, page.metadata.current_page) == (1, 1)
    assert backup.mount_path == "/workspace"
    with pytest.raises(UnexpectedStatus) as refused:
        data_sdk.ask("notebook_list_backup", NOWHERE)
    assert refused.value.status_code == 404


def test_call_notebook_get_backup(data_sdk: Sdk, kept: Notebook, backup: NotebookBackup) -> None:
    assert data_sdk.get("notebook_get_backup", kept.id, backup.id) == backup
    assert backup.backup_date >= kept.created_at
    with pytest.raises(UnexpectedStatus) as refused:
        data_sdk.ask("notebook_get_backup", kept.id, NOWHERE)
    assert refused.value.status_code == 404


def test_call_notebook_create_from_backup(
    data_sdk: Sdk, kept: Notebook, backup: NotebookBackup, data_machine: Machine
) -> None:
    fork = data_sdk.get("notebook_create_from_backup", kept.id, backup.id)
    data_machine.made.append(fork.id)
    assert fork.id != kept.id
    assert fork.spec.env == kept.spec.env
    in_state(data_sdk, fork.id, "RUNNING")
    assert data_machine.execute(fork.id, "cat", "/workspace/kept") == "aa"


# capabilities and the caller


def test_call_get_v1_capabilities_flavor(sdk: Sdk) -> None:
    flavors = {each.id: each for each in sdk.get("get_v1_capabilities_flavor")}
    assert isinstance(flavors["cpu"].gpu_information, Unset)
    gpus = [each for each in flavors.values() if each.id != "cpu"]
    assert [each for each in gpus if each.default]
    for each in gpus:
        assert each.gpu_information.gpu_memory > 0
        assert each.resources_per_unit.cpu > 0
        assert 0 <= each.additional_properties["free"] <= each.max_


def test_call_get_v1_capabilities_flavor_id(sdk: Sdk) -> None:
    for each in sdk.get("get_v1_capabilities_flavor"):
        assert sdk.get("get_v1_capabilities_flavor_id", each.id).id == each.id
    not_there(sdk, "get_v1_capabilities_flavor_id")


def test_call_get_v1_capabilities_notebook_editor(sdk: Sdk) -> None:
    editors = sdk.get("get_v1_capabilities_notebook_editor", compatible_with_framework="conda")
    assert "jupyterlab" in {each.id for each in editors}
    assert sdk.get("get_v1_capabilities_notebook_editor", compatible_with_framework="none") == []


def test_call_get_v1_capabilities_notebook_editor_id(sdk: Sdk) -> None:
    assert sdk.get("get_v1_capabilities_notebook_editor_id", "jupyterlab").name
    not_there(sdk, "get_v1_capabilities_notebook_editor_id")


def test_call_get_v1_capabilities_notebook_framework(sdk: Sdk) -> None:
    frameworks = sdk.get("get_v1_capabilities_notebook_framework", compatible_with_editor="jupyterlab")
    assert "conda" in {each.id for each in frameworks}


def test_call_get_v1_capabilities_notebook_framework_id(sdk: Sdk) -> None:
    assert sdk.get("get_v1_capabilities_notebook_framework_id", "conda").versions
    not_there(sdk, "get_v1_capabilities_notebook_framework_id")


def test_call_get_v1_capabilities_quota(sdk: Sdk) -> None:
    (quota,) = sdk.get("get_v1_capabilities_quota")
    assert quota.storage > 0
    assert quota.resources.to_dict().keys() == {"CPU", "GPU"}


def test_call_me(sdk: Sdk, outer: Machine) -> None:
    found = sdk.get("me")
    assert found.name == outer.client.me().value.name
    assert str(found.role) == "administrator"
    assert uuid.UUID(found.tenant)
    assert isinstance(found.token_kind, Unset)
    assert found.quotas.storage > 0


def not_there(sdk: Sdk, call: str) -> None:
    """A capability of no such id is undocumented, and comes with our body."""
    with pytest.raises(UnexpectedStatus) as refused:
        sdk.ask(call, "none")
    assert refused.value.status_code == 404
    assert b'"code":"not-found"' in refused.value.content


# tokens


@pytest.fixture
def token(sdk: Sdk) -> Iterator[Token]:
    """One that is gone after the test."""
    made = sdk.get("token_new", body=TokenSpec(name="sdk", role="ai_training_operator", label_selector="suite=sdk"))
    yield made
    sdk.client.get_httpx_client().delete(f"/v1/token/{made.id}")


def test_call_token_new(sdk: Sdk, token: Token, running: Notebook, stopped: Notebook) -> None:
    assert (token.spec.name, token.spec.role, token.spec.label_selector) == ("sdk", "ai_training_operator", "suite=sdk")
    assert token.status.version == 1
    bearer = {"Authorization": f"Bearer {token.status.value}"}
    there = sdk.client.get_httpx_client()
    assert there.get("/v1/me", headers=bearer).json()["tokenKind"] == "app"
    listed = there.get("/v1/notebook", headers=bearer).json()["items"]
    assert [each["id"] for each in listed] == [running.id]
    assert there.get(f"/v1/notebook/{stopped.id}", headers=bearer).status_code == 404


def test_call_token_get(sdk: Sdk, token: Token) -> None:
    found = sdk.get("token_get", token.id)
    assert found.spec == token.spec
    assert isinstance(found.status.value, Unset)
    with pytest.raises(UnexpectedStatus) as refused:
        sdk.ask("token_get", NOWHERE)
    assert refused.value.status_code == 404


def test_call_token_get_all(sdk: Sdk, token: Token) -> None:
    page = sdk.get("token_get_all")
    assert token.id in {each.id for each in page.items}
    assert page.metadata.total == len(page.items)
    assert all(isinstance(each.status.value, Unset) for each in page.items)


def test_call_token_renew(sdk: Sdk, token: Token) -> None:
    renewed = sdk.get("token_renew", token.id)
    assert renewed.status.version == 2
    there = sdk.client.get_httpx_client()
    answers = [
        there.get("/v1/me", headers={"Authorization": f"Bearer {each.status.value}"}).status_code
        for each in (token, renewed)
    ]
    assert answers == [401, 200]


def test_call_token_delete(sdk: Sdk, token: Token) -> None:
    sdk.do("token_delete", token.id)
    gone = sdk.client.get_httpx_client().get("/v1/me", headers={"Authorization": f"Bearer {token.status.value}"})
    assert gone.status_code == 401


def test_every_call_has_its_row() -> None:
    assert {name.removeprefix("test_call_") for name in globals() if name.startswith("test_call_")} == set(calls())
