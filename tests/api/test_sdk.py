# SPDX-License-Identifier: Apache-2.0
"""The public ``ovhai`` SDK, unmodified, as the client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import ovhai
import pytest
from ovhai.api.capabilities import (
    get_v1_capabilities_flavor,
    get_v1_capabilities_flavor_id,
    get_v1_capabilities_notebook_editor,
    get_v1_capabilities_notebook_editor_id,
    get_v1_capabilities_notebook_framework,
    get_v1_capabilities_notebook_framework_id,
    get_v1_capabilities_quota,
)
from ovhai.api.me import me
from ovhai.api.notebook import (
    notebook_cli_command,
    notebook_delete,
    notebook_edit,
    notebook_edit_label,
    notebook_exec,
    notebook_get,
    notebook_get_all,
    notebook_new,
    notebook_start,
    notebook_stop,
)
from ovhai.errors import UnexpectedStatus
from ovhai.models.label_update import LabelUpdate
from ovhai.models.notebook_env import NotebookEnv
from ovhai.models.notebook_spec import NotebookSpec
from ovhai.models.notebook_spec_update import NotebookSpecUpdate
from ovhai.models.order import Order
from ovhai.ovhai_types import Unset

from tests.api.caller import NOWHERE, Api


@pytest.fixture
def client(api: Api) -> Iterator[ovhai.Client]:
    """As its users make it."""
    made = ovhai.Client(
        base_url="http://localhost",
        httpx_args={"transport": httpx.HTTPTransport(uds=str(api.socket))},
        raise_on_unexpected_status=True,
    )
    yield made
    made.get_httpx_client().close()


Ask = Callable[..., Any]


@pytest.fixture
def ask(api: Api, client: ovhai.Client) -> Ask:
    """Call the SDK from a thread, since it blocks, and let the house come to rest."""

    async def asked(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        answer = await asyncio.to_thread(call, *args, client=client, **kwargs)
        await api.house.quiet()
        return answer

    return asked


def spec(**fields: Any) -> NotebookSpec:
    """The least that can be asked for."""
    return NotebookSpec(env=NotebookEnv(editor_id="jupyterlab", framework_id="conda"), **fields)


async def test_a_notebook_is_made_and_read(ask: Ask) -> None:
    made = await ask(notebook_new.sync, body=spec(name="mine"))
    assert made.spec.name == "mine"
    assert str(made.status.state) == "STARTING"
    found = await ask(notebook_get.sync, made.id)
    assert str(found.status.state) == "RUNNING"
    assert found.id == made.id
    assert found.user == "root"
    assert found.spec.env.framework_version
    assert found.spec.resources.gpu == 1
    assert found.spec.resources.memory
    assert found.status.url == made.status.url
    assert found.status.info.message
    assert not isinstance(found.status.last_job_status, Unset)
    assert [str(each.state) for each in found.status.last_job_status.history] == ["PENDING", "RUNNING"]
    assert not isinstance(found.status.workspace, Unset)
    assert found.created_at.tzinfo is not None


@pytest.mark.parametrize("unset", ["env_vars", "labels", "ssh_public_keys", "timeout_auto_restart", "volumes"])
async def test_what_the_sdk_leaves_null_is_unset(ask: Ask, unset: str) -> None:
    made = await ask(notebook_new.sync, body=spec(**{unset: None}))
    assert made.id


async def test_notebooks_are_listed(ask: Ask) -> None:
    made = [await ask(notebook_new.sync, body=spec(name=f"nb-{number}")) for number in range(3)]
    page = await ask(notebook_get_all.sync)
    assert {each.id for each in page.items} == {each.id for each in made}
    assert page.metadata.total == 3
    first = await ask(notebook_get_all.sync, page=1, size=2, sort="spec.name", order=Order.DESC, with_spark=True)
    assert [each.spec.name for each in first.items] == ["nb-2", "nb-1"]
    assert first.metadata.page_count == 2
    waiting = await ask(notebook_get_all.sync, status_state=["STARTING"])
    assert [each.id for each in waiting.items] == [made[2].id]


async def test_a_label_is_edited_and_selected_by(ask: Ask) -> None:
    made = await ask(notebook_new.sync, body=spec())
    done = await ask(notebook_edit_label.sync_detailed, made.id, body=LabelUpdate(name="team", value="red"))
    assert done.status_code == 204
    page = await ask(notebook_get_all.sync, label_selector="team=red")
    assert page.items[0].spec.labels["team"] == "red"
    assert (await ask(notebook_get_all.sync, label_selector="team=blue")).items == []


async def test_a_notebook_lives(ask: Ask) -> None:
    made = await ask(notebook_new.sync, body=spec())
    for call, state in ((notebook_stop, "STOPPED"), (notebook_start, "RUNNING"), (notebook_stop, "STOPPED")):
        done = await ask(call.sync_detailed, made.id)
        assert done.status_code == 204
        assert str((await ask(notebook_get.sync, made.id)).status.state) == state
    edited = await ask(
        notebook_edit.sync_detailed, made.id, body=NotebookSpecUpdate(timeout_auto_restart=True, unsecure_http=True)
    )
    assert edited.status_code == 204
    found = await ask(notebook_get.sync, made.id)
    assert found.spec.timeout_auto_restart is True
    assert found.spec.unsecure_http is True
    assert (await ask(notebook_delete.sync_detailed, made.id)).status_code == 204
    assert (await ask(notebook_get.sync_detailed, made.id)).status_code == 404


async def test_a_failed_notebook_can_be_read(api: Api, ask: Ask) -> None:
    made = await ask(notebook_new.sync, body=spec())
    api.world.engine.end(api.container(made.id).spec.name, 3)
    await api.house.quiet()
    found = await ask(notebook_get.sync, made.id)
    assert str(found.status.state) == "FAILED"
    assert found.status.last_job_status.exit_code == 3
    assert str(found.status.info.code) == "JOB_FAILED_WITH_MESSAGE"


async def test_an_errored_notebook_can_be_read(api: Api, ask: Ask) -> None:
    api.world.engine.images.clear()
    made = await ask(notebook_new.sync, body=spec())
    found = await ask(notebook_get.sync, made.id)
    assert str(found.status.state) == "ERROR"
    assert str(found.status.info.code) == "JOB_INVALID_IMAGE_NAME"


async def test_every_state_can_be_read(api: Api, ask: Ask) -> None:
    api.world.editor.silent = True
    made = await ask(notebook_new.sync, body=spec())
    assert str((await ask(notebook_get.sync, made.id)).status.state) == "STARTING"
    api.world.editor.silent = False
    await api.house.pass_time(1)
    api.world.editor.silent = True
    await api.order(made.id, "restart")
    assert str((await ask(notebook_get.sync, made.id)).status.state) == "RESTARTING"
    hold = api.world.engine.hold("stop")
    await ask(notebook_stop.sync_detailed, made.id)
    assert str((await ask(notebook_get.sync, made.id)).status.state) == "STOPPING"
    hold.release()
    await api.house.quiet()
    api.world.engine.hold("remove")
    api.world.engine.hold("find")
    await ask(notebook_delete.sync_detailed, made.id, force=True)
    assert str((await ask(notebook_get.sync, made.id)).status.state) == "DELETING"


async def test_the_command_line_of_a_spec_is_told(ask: Ask) -> None:
    told = await ask(notebook_cli_command.sync, body=spec(name="mine"))
    assert told.command.split()[:4] == ["notebookctl", "run", "conda", "jupyterlab"]
    assert "--name mine" in told.command


async def test_capabilities_are_listed_and_read_one_by_one(ask: Ask) -> None:
    flavors = await ask(get_v1_capabilities_flavor.sync)
    assert [each.id for each in flavors][-1] == "cpu"
    gpu = await ask(get_v1_capabilities_flavor_id.sync, flavors[0].id)
    assert gpu.gpu_information.gpu_model == "Fake 80GB"
    assert gpu.max_ == 2
    cpu = await ask(get_v1_capabilities_flavor_id.sync, "cpu")
    assert isinstance(cpu.gpu_information, Unset)
    editors = await ask(get_v1_capabilities_notebook_editor.sync)
    assert {each.id for each in editors} == {"jupyterlab", "vscode"}
    assert (await ask(get_v1_capabilities_notebook_editor_id.sync, "jupyterlab")).id == "jupyterlab"
    frameworks = await ask(get_v1_capabilities_notebook_framework.sync)
    assert {each.id for each in frameworks} == {"conda", "pytorch"}
    assert (await ask(get_v1_capabilities_notebook_framework_id.sync, "conda")).versions == ["py312", "py311"]
    fitting = await ask(get_v1_capabilities_notebook_framework.sync, compatible_with_editor="vscode")
    assert [each.id for each in fitting] == ["conda"]
    fitting = await ask(get_v1_capabilities_notebook_editor.sync, compatible_with_framework="pytorch")
    assert [each.id for each in fitting] == ["jupyterlab"]


async def test_the_quota_and_the_caller_are_told(api: Api, ask: Ask) -> None:
    (quota,) = await ask(get_v1_capabilities_quota.sync)
    assert quota.storage > 0
    found = await ask(me.sync)
    assert found.name == "root"
    assert str(found.role) == "administrator"
    assert found.tenant == api.house.services.instance
    assert isinstance(found.token_kind, Unset)


@pytest.mark.parametrize(
    "call",
    [get_v1_capabilities_flavor_id, get_v1_capabilities_notebook_editor_id, get_v1_capabilities_notebook_framework_id],
)
async def test_a_capability_that_is_not_there_is_unexpected_to_the_sdk(ask: Ask, call: Any) -> None:
    with pytest.raises(UnexpectedStatus) as refused:
        await ask(call.sync, "nothing")
    assert refused.value.status_code == 404
    assert b'"not-found"' in refused.value.content


async def test_documented_refusals_are_no_exceptions(ask: Ask) -> None:
    assert (await ask(notebook_get.sync_detailed, NOWHERE)).status_code == 404
    refused = await ask(notebook_new.sync_detailed, body=spec(name="NOT A NAME"))
    assert refused.status_code == 400


async def test_undocumented_refusals_carry_our_body(ask: Ask) -> None:
    made = await ask(notebook_new.sync, body=spec())
    with pytest.raises(UnexpectedStatus) as refused:
        await ask(notebook_delete.sync_detailed, made.id)
    assert refused.value.status_code == 409
    assert b'"conflict"' in refused.value.content


async def test_exec_without_upgrade_is_a_400(ask: Ask) -> None:
    made = await ask(notebook_new.sync, body=spec())
    assert (await ask(notebook_exec.sync_detailed, made.id, command=["true"])).status_code == 400
