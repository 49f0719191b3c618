# SPDX-License-Identifier: Apache-2.0
"""The shapes: the SDK reads our answers and we read the SDK's requests; every fault is named."""

from __future__ import annotations

import ast
import importlib
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ovhai import models
from ovhai.ovhai_types import Unset

from notebookd import wire
from notebookd.wire import answers

AT = "2026-11-22T20:21:22.123Z"
ID = "0b5f2a9e-3f3c-4a5e-9a4e-5a3b5c1d2e3f"
INFO = wire.Info(code="JOB_RUNNING", message="running", arguments={"gpu": "1"})
VOLUMES = [
    answers.Volume(
        mount_path="/data",
        permission="RO",
        cache=False,
        data_store=answers.DataStoreSource(alias="DATA", container="", prefix="a/b"),
    ),
    answers.Volume(
        mount_path="/code", permission="RW", cache=True, public_git=answers.UrlSource(url="https://example.org/a.git")
    ),
    answers.Volume(mount_path="/scratch", permission="RWD", cache=False, standalone=answers.StandaloneSource()),
]
VOLUME_STATUS = wire.VolumeStatus(
    id=ID, mount_path="/data", last_pulled_created_at=AT, last_pushed_created_at=AT, user_volume_id=ID
)
SYNC = wire.DataSync(
    id=ID,
    created_at=AT,
    updated_at=AT,
    spec=wire.DataSyncSpec(direction="pull", manual=True, volume=ID),
    status=wire.DataSyncStatus(
        queued_at=AT,
        state="DONE",
        started_at=AT,
        ended_at=AT,
        info=INFO,
        progress=[
            wire.DataSyncProgress(
                id=ID,
                data_sync_id=ID,
                direction="pull",
                state="DONE",
                completed=1,
                created_at=AT,
                deleted=0,
                eta=0,
                failed=0,
                info="done",
                notebook_volume=VOLUMES[0],
                processed=1,
                reason=INFO,
                skipped=0,
                total=1,
                transferred_bytes=12,
                updated_at=AT,
                volume_status=VOLUME_STATUS,
            )
        ],
    ),
)
BACKUP = wire.NotebookBackup(
    id=ID,
    backup_date=AT,
    created_at=AT,
    updated_at=AT,
    mount_path="/workspace",
    comment="2 files, 12 B",
    size=12,
    files=2,
)
NOTEBOOK = wire.Notebook(
    id=ID,
    created_at=AT,
    updated_at=AT,
    user="alice",
    spec=wire.Spec(
        env=answers.NotebookEnv(editor_id="jupyterlab", framework_id="conda", framework_version="py311"),
        resources=answers.Resources(
            cpu=4,
            ephemeral_storage=10,
            flavor="h100-1-gpu",
            gpu=1,
            gpu_brand="NVIDIA",
            gpu_memory=80,
            gpu_model="H100",
            memory=40,
            private_network=0,
            public_network=1,
        ),
        name="jupyterlab-calm",
        env_vars=[answers.EnvVar(name="A", value="1")],
        labels={"team": "vision"},
        ssh_public_keys=["ssh-ed25519 AAAA"],
        timeout_auto_restart=True,
        unsecure_http=False,
        volumes=VOLUMES,
    ),
    status=wire.NotebookStatus(
        state="RUNNING",
        url=f"http://{ID}.localhost:8421/",
        data_sync=[SYNC],
        duration=12,
        info=INFO,
        last_started_at=AT,
        last_stopped_at=AT,
        monitoring_url="http://localhost/",
        ssh_url="ssh://localhost",
        volumes=[VOLUME_STATUS],
        workspace=wire.Workspace(storage_free=1, storage_used=2),
        last_job_status=wire.JobStatus(
            state="RUNNING",
            history=[wire.JobStateHistory(date=AT, state="QUEUED")],
            queued_at=AT,
            duration=12,
            data_sync=[SYNC],
            exit_code=0,
            finalized_at=AT,
            info=INFO,
            initializing_at=AT,
            last_transition_date=AT,
            started_at=AT,
            stopped_at=AT,
            timeout_at=AT,
            url="http://localhost/",
            volumes=[VOLUME_STATUS],
        ),
    ),
)


def bare_notebook():
    return wire.Notebook(
        id=ID,
        created_at=AT,
        updated_at=AT,
        user="alice",
        spec=wire.Spec(
            env=answers.NotebookEnv(editor_id="jupyterlab", framework_id="conda"),
            resources=answers.Resources(cpu=1),
            name="calm",
        ),
        status=wire.NotebookStatus(state="STARTING", url="http://localhost/"),
    )


def page(*notebooks, **links):
    return wire.NotebookList(
        items=list(notebooks),
        metadata=wire.Metadata(current_page=1, page_count=2, total=3, links=wire.Links(**links)),
    )


def as_json(value):
    """What the SDK gets to see. Its dates are read without regard to how many digits their fraction has."""
    return json.loads(wire.encode(value))


def plain(value):
    """Even out what the SDK changes on the way back: dates get another form, absent lists become empty ones."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items() if each != []}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, str) and value.startswith("2026-"):
        return wire.rfc3339(wire.parse_rfc3339(value))
    return value


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (models.Notebook, NOTEBOOK),
        (models.Notebook, bare_notebook()),
        (models.NotebookList, page(NOTEBOOK, bare_notebook(), next_="/v1/notebook?page=2")),
        (models.NotebookList, page()),
        (models.DataSync, SYNC),
        (models.NotebookBackup, BACKUP),
        (models.NotebookBackupList, wire.NotebookBackupList(items=[BACKUP], metadata=page().metadata)),
        (models.CLICommand, wire.Command(command="notebookctl run conda jupyterlab")),
        (
            models.Flavor,
            wire.Flavor(
                id="h100-1-gpu",
                type="gpu",
                description="1 H100",
                default=True,
                max_=4,
                free=3,
                resources_per_unit=wire.ResourcesPerUnit(
                    cpu=4, memory=40, ephemeral_storage=10, private_network=0, public_network=1
                ),
                gpu_information=wire.GpuInformation(gpu_brand="NVIDIA", gpu_model="H100", gpu_memory=80),
            ),
        ),
        (
            models.NotebookEditor,
            wire.Editor(
                id="jupyterlab", name="JupyterLab", description="x", doc_url="u", logo_url="l", versions=["4.6"]
            ),
        ),
        (
            models.NotebookFramework,
            wire.Framework(
                id="conda",
                name="Conda",
                description="x",
                versions=["py311"],
                doc_url="u",
                logo_url="l",
                saved_paths=["/workspace"],
            ),
        ),
        (models.ProjectQuotas, wire.Quotas(resources={"CPU": 8, "GPU": 4}, storage=10)),
        (
            models.Me,
            wire.Me(
                name="alice",
                role="administrator",
                tenant=ID,
                quotas=wire.Quotas(resources={"CPU": 8}, storage=1),
                token_kind="app",
            ),
        ),
        (models.Error, wire.Refusal(message="cannot start notebook", code="conflict", hint="wait", details={"a": 1})),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_sdk_reads_what_we_write_and_writes_it_back_the_same(model, value):
    body = as_json(value)
    assert plain(model.from_dict(body).to_dict()) == plain(body)


def test_sdk_knows_every_field_of_a_full_notebook():
    def extras(value):
        for name, each in vars(value).items() if hasattr(value, "__dict__") else []:
            if name == "additional_properties":
                if type(value).__name__ not in {"NotebookSpecLabelsType0", "InfoArguments"}:
                    assert each == {}, type(value)
            elif not isinstance(each, Unset):
                for item in each if isinstance(each, list) else [each]:
                    extras(item)

    extras(models.Notebook.from_dict(as_json(NOTEBOOK)))


def test_absent_values_are_left_out_and_nothing_is_null():
    assert b"null" not in wire.encode(NOTEBOOK)
    assert as_json(bare_notebook())["status"] == {"state": "STARTING", "url": "http://localhost/"}
    assert as_json(page())["metadata"]["links"] == {}


def test_links_are_an_object_with_next():
    assert as_json(page(next_="/n"))["metadata"]["links"] == {"next": "/n"}


def test_answers_survive_a_round_trip_and_unknown_fields_from_a_newer_daemon():
    assert msgspec.json.decode(wire.encode(NOTEBOOK), type=wire.Notebook) == NOTEBOOK
    newer = as_json(NOTEBOOK)
    for place in (newer, newer["spec"], newer["spec"]["resources"], newer["spec"]["volumes"][0], newer["status"]):
        place["brandNew"] = 1
    assert msgspec.convert(newer, wire.Notebook) == NOTEBOOK


def test_our_board_sends_null_where_it_says_so():
    row = wire.Gpu(
        uuid="GPU-1",
        index=0,
        name="H100",
        memory=None,
        utilisation=None,
        temperature=None,
        power=None,
        state="lost",
        drained=False,
        foreign=False,
        lease=None,
        processes=[wire.GpuProcess(pid=1, user="bob", command="x", memory=None, notebook=None)],
        health=wire.GpuHealth(status="lost"),
    )
    body = as_json(row)
    assert body["lease"] is None
    assert body["processes"][0]["notebook"] is None
    assert body["health"] == {"status": "lost"}


def test_what_the_sdk_sends_for_unset_is_read():
    spec = models.NotebookSpec(
        env=models.NotebookEnv(editor_id="jupyterlab", framework_id="conda"),
        env_vars=None,
        labels=None,
        ssh_public_keys=None,
        timeout_auto_restart=None,
        unsecure_http=None,
        volumes=None,
    )
    read = wire.decode(wire.NotebookSpec, json.dumps(spec.to_dict()).encode())
    assert read.volumes is read.labels is read.env_vars is read.unsecure_http is None
    assert read.resources is wire.UNSET


def test_a_full_spec_of_the_sdk_is_read():
    body = as_json(NOTEBOOK)["spec"]
    read = wire.decode(wire.NotebookSpec, json.dumps(models.NotebookSpec.from_dict(body).to_dict()).encode())
    assert as_json(read) == body


def test_patch_tells_absent_null_and_value_apart():
    read = wire.decode(wire.NotebookPatch, b'{"labels": null, "timeoutAutoRestart": false}')
    assert (read.labels, read.timeout_auto_restart, read.volumes) == (None, False, wire.UNSET)


def faults(shape, raw):
    with pytest.raises(wire.DecodeFaults) as caught:
        wire.decode(shape, raw)
    return {fault.path: fault.message for fault in caught.value.faults}, caught.value.partial


def test_every_fault_of_a_body_is_named_with_its_path():
    named, partial = faults(
        wire.NotebookSpec,
        b"""{"env": {"editorId": 1, "frameworkVrsion": "x"}, "resources": {"gpu": -1, "cpu": true, "flavor": "f"},
             "volumes": [{"mountPath": "/a"}, 3], "labels": {"a/b": 1, "k": "v"}, "sshPublicKeys": [1, "key"],
             "colour": "red", "name": "calm"}""",
    )
    assert named == {
        "$.env.editorId": "Expected `str`, got `int`",
        "$.env.frameworkVrsion": "Unknown field, did you mean `frameworkVersion`?",
        "$.env.frameworkId": "Missing required field",
        "$.resources.gpu": "Expected `int` >= 0",
        "$.resources.cpu": "Expected `int`, got `bool`",
        "$.volumes[0].permission": "Missing required field",
        "$.volumes[1]": "Expected `str | object`, got `int`",
        '$.labels["a/b"]': "Expected `str`, got `int`",
        "$.sshPublicKeys[0]": "Expected `str`, got `int`",
        "$.colour": "Unknown field",
    }
    assert partial.name == "calm"
    assert partial.env.editor_id is wire.UNSET
    assert partial.resources.flavor == "f"
    assert partial.volumes[0].mount_path == "/a"
    assert partial.volumes[1] is wire.UNSET
    assert partial.labels == {"k": "v"}
    assert partial.ssh_public_keys == [wire.UNSET, "key"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "The body is empty: a JSON object is needed"),
        (b" \n", "The body is empty: a JSON object is needed"),
        (b"[]", "Expected `object`, got `array`"),
        (b"null", "Expected `object`, got `null`"),
        (b'{"env": "\xff"}', "The body is not valid UTF-8 (byte 9)"),
        (b"[" * 100_000, "The body is nested too deeply"),
    ],
)
def test_hopeless_bodies_have_one_fault_at_the_root(raw, message):
    assert faults(wire.NotebookSpec, raw) == ({"$": message}, None)


@pytest.mark.parametrize("raw", [b"{", b'{"env": NaN}', b"{} x", b'{"name": "\\ud800"}', b'{"name": "\x00"}'])
def test_invalid_json_is_said_to_be_so(raw):
    named, partial = faults(wire.NotebookSpec, raw)
    assert named["$"].startswith("The body is not valid JSON")
    assert partial is None


def test_missing_object_is_one_fault_not_many():
    assert faults(wire.NotebookSpec, b"{}")[0] == {"$.env": "Missing required field"}


def test_wrong_literal_is_named():
    assert list(faults(wire.DataSyncRequest, b'{"direction": "sideways"}')[0]) == ["$.direction"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["env", "editorId", "frameworkId", "resources", "gpu", "volumes", "mountPath", "labels", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_either_decodes_or_has_faults_with_paths(value):
    raw = json.dumps(value).encode()
    for shape in (wire.NotebookSpec, wire.NotebookPatch, wire.LabelUpdate):
        found = []
        try:
            wire.decode(shape, raw)
        except wire.DecodeFaults as error:
            found = [(fault.path[0], fault.message) for fault in error.faults] or [("", "")]
        assert all(root == "$" and message and "does not fit" not in message for root, message in found)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2026, 11, 22, 20, 21, 22, 123999, tzinfo=UTC), "2026-11-22T20:21:22.123Z"),
        (datetime(2026, 11, 22, 20, 21, 22, tzinfo=UTC), "2026-11-22T20:21:22.000Z"),
        (datetime(2026, 11, 22, 22, 21, 22, tzinfo=timezone(timedelta(hours=2))), "2026-11-22T20:21:22.000Z"),
    ],
)
def test_times_are_utc_with_milliseconds(at, text):
    assert wire.rfc3339(at) == text


def test_naive_times_are_refused():
    with pytest.raises(ValueError, match="no time zone"):
        wire.rfc3339(datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


@pytest.mark.parametrize("text", ["2026-11-22T20:21:22.123Z", "2026-11-22T21:21:22.123+01:00"])
def test_times_are_read_into_utc(text):
    assert wire.parse_rfc3339(text) == datetime(2026, 11, 22, 20, 21, 22, 123000, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "2026-11-22T20:21:22", "2026-13-01T00:00:00Z", "9999-12-31T23:59:59-14:00"]
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match="cannot read the time"):
        wire.parse_rfc3339(text)


def test_a_volume_may_be_a_text() -> None:
    body = b'{"env":{"editorId":"e","frameworkId":"f"},"volumes":["a@B:/c",{"mountPath":"/d","permission":"ro"}]}'
    volumes = wire.decode(wire.NotebookSpec, body).volumes
    assert volumes == ["a@B:/c", wire.Volume(mount_path="/d", permission="ro")]


def test_a_byte_order_mark_before_a_body_is_passed_over() -> None:
    raw = b'\xef\xbb\xbf{"name": "a",\r\n "value": "b"}'
    assert wire.decode(wire.LabelUpdate, raw) == wire.LabelUpdate(name="a", value="b")
    with pytest.raises(wire.DecodeFaults, match="not valid UTF-8"):
        wire.decode(wire.LabelUpdate, '{"name": "a"}'.encode("utf-16"))
    with pytest.raises(wire.DecodeFaults, match="empty"):
        wire.decode(wire.LabelUpdate, b"\xef\xbb\xbf")


def test_every_shape_is_found_where_type_checkers_find_it():
    found = {}
    for block in ast.parse(Path(wire.__file__).read_text()).body:
        if isinstance(block, ast.If):
            for each in block.body:
                found |= {alias.name: each.module for alias in each.names}
    assert set(found) | {"UNSET", "UnsetType", "encode"} == set(wire.__all__)
    for name, home in found.items():
        module = importlib.import_module(home)
        shape = getattr(module, name, None) or importlib.import_module(f"{home}.{name}")
        assert getattr(wire, name) is shape
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = wire.Nonsense
