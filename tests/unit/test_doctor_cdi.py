# SPDX-License-Identifier: Apache-2.0
"""What the doctor says of CDI specs on made-up machines, and what it proposes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from notebookd.doctor import Finding, Status
from notebookd.doctor.cdi import SPEC_LIMIT_BYTES
from tests.unit.test_doctor import UUID, World, world

__all__ = ["world"]

ETC, RUN = "/etc/cdi/nvidia.yaml", "/var/run/cdi/nvidia.yaml"
GENERATE = f"nvidia-ctk cdi generate --device-name-strategy=uuid --output={ETC} && chmod 644 {ETC}"
OTHER = "GPU-99999999-2222-3333-4444-555555555555"


def spec(*names: str, version: str = "0.5.0", **edits: Any) -> str:
    """A spec in JSON, which is YAML too; the edits are those of every device."""
    devices = [{"name": name, "containerEdits": {"env": ["A=1"]}} for name in names or (UUID,)]
    return json.dumps({"cdiVersion": version, "kind": "nvidia.com/gpu", "devices": devices, "containerEdits": edits})


@pytest.fixture(autouse=True)
def with_a_toolkit(world: World) -> None:
    world.programs["nvidia-ctk"] = "/usr/bin/nvidia-ctk"
    world.versions["nvidia-ctk"] = "NVIDIA Container Toolkit CLI version 1.17.4\ncommit: 9b69"


def said(world: World) -> list[Finding]:
    """What is not well with CDI."""
    return [finding for finding in world.findings() if finding.name == "cdi" and finding.status is not Status.OK]


def only(world: World) -> Finding:
    (finding,) = said(world)
    return finding


def remove(world: World, path: str = ETC) -> None:
    (world.root / path.lstrip("/")).unlink()


def test_no_spec_at_all_fails(world: World) -> None:
    remove(world)
    world.write("/etc/cdi/other.yaml", "kind: vendor.example/net\n")
    assert (only(world).status, only(world).cure) == (Status.FAIL, GENERATE)


def test_where_the_toolkit_is_missing_it_is_installed_first(world: World) -> None:
    remove(world)
    del world.programs["nvidia-ctk"]
    assert (only(world).cure or "").startswith("apt-get install nvidia-container-toolkit ")
    assert (only(world).cure or "").endswith(GENERATE)


def test_a_gpu_that_the_spec_does_not_name_fails(world: World) -> None:
    world.nvml = lambda: [UUID, OTHER]
    finding = only(world)
    assert (finding.status, finding.cure) == (Status.FAIL, GENERATE)
    assert OTHER in finding.seen
    assert UUID not in finding.seen


@pytest.mark.parametrize(("toolkit", "upgrade"), [("1.11.0", True), ("1.12.0", False), ("1.9.9", True)])
def test_a_spec_with_indices_only_fails_and_a_toolkit_too_old_is_named(
    world: World, toolkit: str, upgrade: bool
) -> None:
    world.write(ETC, "cdiVersion: 0.3.0\nkind: nvidia.com/gpu\ndevices:\n- name: 0\n- name: '1'\n- name: all\n")
    world.versions["nvidia-ctk"] = f"NVIDIA Container Toolkit CLI version {toolkit}\ncommit: 9b69"
    finding = only(world)
    assert finding.status is Status.FAIL
    assert "by its UUID, only 0, 1, all" in finding.seen
    assert (f"since {toolkit[:-2]} here cannot" in (finding.cure or "")) is upgrade
    assert (finding.cure or "").endswith(GENERATE)


@pytest.mark.parametrize(
    "edits",
    [
        {"deviceNodes": [{"path": "/dev/nvidia0"}]},
        {"deviceNodes": [{"path": "/dev/nvidia0", "hostPath": "/host/dev/nvidia0"}]},
        {"mounts": [{"hostPath": "/usr/lib/libcuda.so.535.1", "containerPath": "/usr/lib/libcuda.so.535.1"}]},
        {"hooks": [{"hookName": "createContainer", "path": "/usr/bin/nvidia-ctk"}]},
    ],
)
def test_a_spec_that_names_what_is_gone_is_stale(world: World, edits: dict[str, Any]) -> None:
    world.write(ETC, spec(**edits))
    (entry,) = edits.values()
    gone = entry[0].get("hostPath") or entry[0]["path"]
    finding = only(world)
    assert (finding.status, finding.cure) == (Status.FAIL, GENERATE)
    assert f"{ETC} is stale: it names {gone}, not on this host" in finding.seen
    world.write(gone, "")
    assert said(world) == []


def test_of_much_that_is_gone_a_few_are_named(world: World) -> None:
    world.write(ETC, spec(mounts=[{"hostPath": f"/usr/lib/lib{number}.so"} for number in range(8)]))
    assert "/usr/lib/lib2.so and 5 more" in only(world).seen


def test_what_other_devices_want_is_not_looked_at(world: World) -> None:
    body = json.loads(spec(UUID, "all"))
    body["devices"][1]["containerEdits"] = {"deviceNodes": [{"path": "/dev/nvidia9"}]}
    world.write(ETC, json.dumps(body))
    assert said(world) == []


def test_a_spec_that_some_podmans_do_not_read_is_a_warning(world: World) -> None:
    remove(world)
    world.write(RUN, spec())
    finding = only(world)
    assert (finding.status, finding.cure) == (Status.WARN, GENERATE)


def test_under_podman_5_5_that_spec_is_none(world: World) -> None:
    remove(world)
    world.write(RUN, spec())
    world.info["version"]["Version"] = "5.5.2"
    finding = only(world)
    assert (finding.status, finding.seen) == (Status.FAIL, f"{RUN}: podman 5.5 reads /etc/cdi alone")
    world.write(ETC, spec())
    assert said(world) == []


def test_a_version_that_podman_4_3_does_not_read_fails_there(world: World) -> None:
    world.write(ETC, spec(version="0.7.0"))
    finding = only(world)
    assert finding.status is Status.FAIL
    assert "0.7.0" in finding.seen
    assert (finding.cure or "").endswith(ETC)
    world.info["version"]["Version"] = "5.4.0"
    assert said(world) == []


def test_two_files_that_name_one_gpu_cancel_each_other(world: World) -> None:
    world.write("/etc/cdi/gpus.json", spec())
    finding = only(world)
    assert (finding.status, finding.cure) == (Status.FAIL, "rm /etc/cdi/gpus.json")


def test_of_two_folders_the_volatile_one_counts(world: World) -> None:
    world.write(RUN, spec(deviceNodes=[{"path": "/dev/nvidia0"}]))
    assert f"{RUN} is stale" in only(world).seen
    assert f"--output={RUN} " in (only(world).cure or "")


def test_a_spec_that_the_service_may_not_read_fails(world: World) -> None:
    (world.root / "etc/cdi/nvidia.yaml").chmod(0o600)
    assert (only(world).status, only(world).cure) == (Status.FAIL, f"chmod 644 {ETC}")


def test_a_folder_that_the_service_may_not_enter_fails(world: World) -> None:
    (world.root / "etc/cdi").chmod(0o700)
    assert (only(world).status, only(world).cure) == (Status.FAIL, "chmod 755 /etc/cdi")


def test_a_suffix_that_podman_passes_over_fails(world: World) -> None:
    (world.root / "etc/cdi/nvidia.yaml").rename(world.root / "etc/cdi/nvidia.yml")
    assert only(world).cure == "mv /etc/cdi/nvidia.yml /etc/cdi/nvidia.yaml"


BROKEN = {
    "half.json": '{"kind": "nvidia.com/gpu", ',
    "half.yaml": 'kind: nvidia.com/gpu\ndevices: [{"name": \n',
    "list.json": '["nvidia.com/gpu"]',
    "deep.json": '{"kind": "nvidia.com/gpu", "devices": ' + "[" * 100_000,
    "deep.yaml": "kind: nvidia.com/gpu\ndevices: " + "[" * 5_000,
    "day.yaml": "kind: nvidia.com/gpu\nmade: 2020-13-45\n",
    "tag.yaml": "kind: nvidia.com/gpu\nmade: !!python/object:os.system x\n",
    "huge.json": '{"kind": "nvidia.com/gpu"}' + " " * SPEC_LIMIT_BYTES,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_a_warning_beside_a_good_one_and_fails_alone(world: World, name: str) -> None:
    world.write(f"/etc/cdi/{name}", BROKEN[name])
    assert only(world).status is Status.WARN
    assert f"/etc/cdi/{name}: " in only(world).seen
    assert only(world).cure
    remove(world)
    assert only(world).status is Status.FAIL


def test_what_is_no_file_is_not_read(world: World) -> None:
    os.mkfifo(world.root / "etc/cdi/pipe.yaml")
    (world.root / "etc/cdi/loop.json").symlink_to("loop.json")
    assert [(finding.status, finding.seen) for finding in said(world)] == [
        (Status.WARN, "/etc/cdi/loop.json: not a file"),
        (Status.WARN, "/etc/cdi/pipe.yaml: not a file"),
    ]


@pytest.mark.parametrize("devices", [None, 7, ["x"], {"name": UUID}, [{"name": [UUID]}], [{"containerEdits": [1]}]])
def test_a_spec_of_an_odd_shape_names_nothing(world: World, devices: object) -> None:
    world.write(ETC, json.dumps({"kind": "nvidia.com/gpu", "devices": devices, "containerEdits": 5}))
    assert only(world).status is Status.FAIL


def test_without_a_driver_the_spec_is_looked_at_all_the_same(world: World) -> None:
    world.nvml = list
    world.write(ETC, spec(mounts=[{"hostPath": "/usr/lib/libcuda.so.535.1"}]))
    assert "is stale" in only(world).seen
    Path(world.root / "etc/cdi/nvidia.yaml").write_text(spec("0"))
    assert "by its UUID" in only(world).seen
