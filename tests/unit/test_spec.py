# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import pytest

from notebookd.config import parse_config
from notebookd.domain.catalogue import Catalogue
from notebookd.domain.notebook import NotebookSpec, ResourceRequest
from notebookd.domain.resources import GIB, Flavor
from notebookd.domain.spec import (
    ResourceWish,
    SpecWish,
    choose_resources,
    complete,
    generated_name,
    label_fault,
    label_faults,
)
from notebookd.domain.volumes import parse_volume

CATALOGUE = Catalogue.of(parse_config({}, source=None).images)
BIG = Flavor(
    id="big-1-gpu",
    description="1 Big",
    limit=4,
    cpus=8,
    memory_bytes=64 * GIB,
    gpu_model="NVIDIA Big",
    gpu_memory_bytes=80 * GIB,
    default=True,
)
SMALL = replace(BIG, id="small-1-gpu", limit=2, gpu_model="NVIDIA Small", default=False)
CPU = Flavor(id="cpu", description="1 CPU", limit=16, cpus=1, memory_bytes=4 * GIB)
FLAVORS = (BIG, SMALL, CPU)
WISH = SpecWish(editor="jupyterlab", framework="conda")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ alice@laptop"


def accepted(wish: SpecWish) -> NotebookSpec:
    spec, faults = complete(wish, CATALOGUE, FLAVORS, name="jupyterlab-amber")
    assert faults == []
    assert spec is not None
    return spec


def faults_of(wish: SpecWish, flavors: tuple[Flavor, ...] = FLAVORS) -> dict[str, str]:
    spec, faults = complete(wish, CATALOGUE, flavors, name="jupyterlab-amber")
    assert spec is None
    return {fault.path: fault.message for fault in faults}


def test_the_least_that_can_be_asked_is_completed() -> None:
    assert accepted(WISH) == NotebookSpec(
        name="jupyterlab-amber",
        editor="jupyterlab",
        framework="conda",
        framework_version="py311",
        resources=ResourceRequest(flavor="big-1-gpu", units=1, gpu=True),
    )


def test_what_is_given_is_taken() -> None:
    spec = accepted(
        replace(
            WISH,
            name="my-lab",
            version="py311",
            labels={"team": "vision", "notebookd/idle-stop": "4h"},
            env_vars=(("A", "1"), ("B", "")),
            ssh_public_keys=(KEY,),
            timeout_auto_restart=True,
            unsecure_http=True,
            resources=ResourceWish(cpu=3),
        )
    )
    assert (spec.name, spec.labels["team"], spec.env_vars) == ("my-lab", "vision", (("A", "1"), ("B", "")))
    assert (spec.ssh_public_keys, spec.timeout_auto_restart, spec.unsecure_http) == ((KEY,), True, True)
    assert spec.resources == ResourceRequest(flavor="cpu", units=3, gpu=False)


def test_every_fault_is_named_at_once() -> None:
    found = faults_of(
        SpecWish(
            editor="emacs",
            framework="conda",
            name="My Lab",
            labels={"ovh/id": "x", "team": "v" * 256},
            env_vars=(("1A", "x"), ("B", "x\0"), ("B", "x")),
            ssh_public_keys=("hello",),
            resources=ResourceWish(gpu=1, cpu=1),
            volumes=(parse_volume("c@A:/etc/x"),),
        )
    )
    assert set(found) == {
        "$.env.editorId",
        "$.name",
        "$.labels.ovh/id",
        "$.labels.team",
        "$.envVars[0].name",
        "$.envVars[1].value",
        "$.envVars[2].name",
        "$.sshPublicKeys[0]",
        "$.resources",
        "$.volumes[0].mountPath",
    }


@pytest.mark.parametrize(
    ("wish", "path"),
    [
        (replace(WISH, editor="emacs"), "$.env.editorId"),
        (replace(WISH, framework="cobol"), "$.env.frameworkId"),
        (replace(WISH, version="py2"), "$.env.frameworkVersion"),
        (replace(WISH, name=""), "$.name"),
        (replace(WISH, name="a" * 64), "$.name"),
        (replace(WISH, name="a\n"), "$.name"),
        (replace(WISH, name="Ünïcode"), "$.name"),
        (replace(WISH, env_vars=(("A-B", ""),)), "$.envVars[0].name"),
        (replace(WISH, env_vars=(("", ""),)), "$.envVars[0].name"),
        (replace(WISH, env_vars=tuple((f"A{index}", "") for index in range(257))), "$.envVars"),
        (replace(WISH, ssh_public_keys=(KEY,) * 11), "$.sshPublicKeys"),
        (replace(WISH, ssh_public_keys=(KEY + "\nssh-rsa AAAA",)), "$.sshPublicKeys[0]"),
        (replace(WISH, labels={f"k{index}": "v" for index in range(65)}), "$.labels"),
        (replace(WISH, labels={"": "v"}), "$.labels."),
    ],
)
def test_a_fault_has_its_path(wish: SpecWish, path: str) -> None:
    assert list(faults_of(wish)) == [path]


@pytest.mark.parametrize(
    ("wish", "request_"),
    [
        (ResourceWish(), ("big-1-gpu", 1)),
        (ResourceWish(gpu=0, cpu=0), ("big-1-gpu", 1)),
        (ResourceWish(gpu=4), ("big-1-gpu", 4)),
        (ResourceWish(gpu=2, cpu=0), ("big-1-gpu", 2)),
        (ResourceWish(cpu=16, gpu=0), ("cpu", 16)),
        (ResourceWish(flavor="small-1-gpu"), ("small-1-gpu", 1)),
        (ResourceWish(flavor="small-1-gpu", gpu=2), ("small-1-gpu", 2)),
        (ResourceWish(flavor="cpu"), ("cpu", 1)),
        (ResourceWish(flavor="cpu", cpu=2, memory=8 * GIB), ("cpu", 2)),
        (ResourceWish(gpu=2, memory=128 * GIB, gpu_model="Big", gpu_memory=80 * GIB), ("big-1-gpu", 2)),
    ],
)
def test_resources_that_can_be_had(wish: ResourceWish, request_: tuple[str, int]) -> None:
    chosen, faults = choose_resources(wish, FLAVORS)
    assert faults == []
    assert chosen is not None
    assert (chosen.flavor, chosen.units) == request_
    assert chosen.gpu is (chosen.flavor != "cpu")


@pytest.mark.parametrize(
    ("wish", "path", "message"),
    [
        (ResourceWish(gpu=1, cpu=1), "$.resources", "exclude each other"),
        (ResourceWish(gpu=-1), "$.resources.gpu", "negative"),
        (ResourceWish(cpu=-1), "$.resources.cpu", "negative"),
        (ResourceWish(gpu=5), "$.resources.gpu", "at most 4"),
        (ResourceWish(cpu=17), "$.resources.cpu", "at most 16"),
        (ResourceWish(gpu=3, flavor="small-1-gpu"), "$.resources.gpu", "at most 2"),
        (ResourceWish(flavor="huge"), "$.resources.flavor", "no flavor huge; there are big-1-gpu, small-1-gpu, cpu"),
        (ResourceWish(flavor="cpu", gpu=1), "$.resources.flavor", "one of CPUs"),
        (ResourceWish(flavor="big-1-gpu", cpu=1), "$.resources.flavor", "one of GPUs"),
        (ResourceWish(gpu=2, memory=64 * GIB), "$.resources.memory", "not customisable"),
        (ResourceWish(cpu=1, gpu_model="NVIDIA Big"), "$.resources.gpuModel", "not customisable"),
        (ResourceWish(gpu=1, gpu_memory=1), "$.resources.gpuMemory", "not customisable"),
    ],
)
def test_resources_that_cannot_be_had(wish: ResourceWish, path: str, message: str) -> None:
    _, faults = choose_resources(wish, FLAVORS)
    assert [fault.path for fault in faults] == [path]
    assert message in faults[0].message


def test_a_host_without_gpus_says_to_ask_for_cpu() -> None:
    assert faults_of(WISH, (replace(CPU, default=True),)) == {"$.resources": "this machine has no GPU: ask for cpu"}
    assert choose_resources(ResourceWish(cpu=1), (CPU,))[1] == []


def test_the_default_flavor_may_be_one_of_cpus_and_then_gpus_are_still_the_first() -> None:
    chosen, _ = choose_resources(ResourceWish(gpu=1), (replace(BIG, default=False), replace(CPU, default=True)))
    assert chosen is not None
    assert chosen.flavor == "big-1-gpu"


def test_platform_labels_are_taken_back_only_as_they_were() -> None:
    stored = {"ovh/id": "1"}
    assert list(label_faults({"ovh/id": "1"}, stored)) == []
    assert [fault.path for fault in label_faults({"ovh/id": "2"}, stored)] == ["$.labels.ovh/id"]


@pytest.mark.parametrize(
    ("key", "value", "fine"),
    [
        ("team", "vision", True),
        ("a.b/c-d_e", "", True),
        ("team", None, True),
        ("x" * 128, "v", True),
        ("x" * 129, "v", False),
        ("-x", "v", False),
        ("a b", "v", False),
        ("notebookd/idle-stop", "off", True),
        ("notebookd/idle-stop", "90m", True),
        ("notebookd/idle-stop", "1h30m", True),
        ("notebookd/idle-stop", "1m", True),
        ("notebookd/idle-stop", "59s", False),
        ("notebookd/idle-stop", "99999999999d", False),
        ("notebookd/idle-stop", None, True),
        ("notebookd/idle-stop", "soon", False),
        ("notebookd/idle-stop", "0h", False),
        ("notebookd/other", "v", False),
        ("ovh/x", None, False),
    ],
)
def test_a_label_is_anybodys_but_for_the_platforms(key: str, value: str | None, fine: bool) -> None:
    assert (label_fault(key, value) is None) is fine


def test_a_generated_name_is_a_name() -> None:
    for choice in range(100):
        accepted(replace(WISH, name=generated_name("jupyterlab", choice)))
    assert generated_name("jupyterlab", 0) == "jupyterlab-amber"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://h.example/x.git", "is no volume: write"),
        ("standalone:data", "is no volume: write"),
        ("lab@S3", "is no volume: write"),
        ("git@h.example:me/x.git:/code", "write a Git repository with its URL"),
        ("lab@S3:/d:rwx", "'rwx' is none of ro, rw, rwd"),
    ],
)
def test_what_is_no_volume_is_told_how_to_write_one(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_volume(text)


def test_framework_and_editor_the_wrong_way_round_are_told() -> None:
    assert faults_of(SpecWish(editor="conda", framework="jupyterlab")) == {
        "$.env.frameworkId": (
            "'jupyterlab' is an editor and 'conda' a framework "
            "(the framework comes first: `notebookctl run conda jupyterlab`)"
        )
    }


def test_a_misspelt_framework_is_told_which_is_near() -> None:
    assert "did you mean 'conda'?" in faults_of(SpecWish(editor="jupyterlab", framework="conad"))["$.env.frameworkId"]
