# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from notebookd.domain.gpu import GpuUnit
from notebookd.domain.notebook import ResourceRequest
from notebookd.domain.resources import GIB, Flavor, FlavorShare, HostCompute, amount, derive_flavors, gpu_flavor_id

HOST = HostCompute(cpus=32, memory_bytes=256 * GIB)


def gpus(*models: str) -> list[GpuUnit]:
    return [
        GpuUnit(uuid=f"GPU-{index}", index=index, model=model, memory_bytes=80 * GIB)
        for index, model in enumerate(models)
    ]


def by_id(flavors: tuple[Flavor, ...]) -> dict[str, Flavor]:
    return {flavor.id: flavor for flavor in flavors}


@pytest.mark.parametrize(
    ("model", "flavor"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-80gb-hbm3-1-gpu"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090-1-gpu"),
        ("Tesla V100-SXM2-16GB", "tesla-v100-sxm2-16gb-1-gpu"),
        ("Simulated GPU", "simulated-1-gpu"),
    ],
)
def test_a_flavor_is_named_for_its_model(model: str, flavor: str) -> None:
    assert gpu_flavor_id(model) == flavor


def test_one_flavor_for_each_model_the_most_numerous_first_and_default() -> None:
    flavors = derive_flavors(gpus("NVIDIA B", "NVIDIA A", "NVIDIA A"), HOST)
    assert [flavor.id for flavor in flavors] == ["a-1-gpu", "b-1-gpu", "cpu"]
    assert [flavor.default for flavor in flavors] == [True, False, False]
    assert [flavor.limit for flavor in flavors] == [2, 1, 32]


def test_a_gpu_brings_its_share_of_the_host() -> None:
    flavor = derive_flavors(gpus(*["NVIDIA A"] * 4), HOST)[0]
    assert (flavor.cpus, flavor.memory_bytes, flavor.gpu_memory_bytes) == (8, 64 * GIB, 80 * GIB)
    assert (flavor.gpu, flavor.gpu_model) == (True, "NVIDIA A")


def test_many_gpus_on_few_cpus_still_bring_one() -> None:
    assert derive_flavors(gpus(*["A"] * 8), HostCompute(cpus=2, memory_bytes=GIB))[0].cpus == 1


def test_a_host_without_gpus_has_its_cpus() -> None:
    (flavor,) = derive_flavors([], HOST)
    assert (flavor.id, flavor.default, flavor.cpus, flavor.memory_bytes) == ("cpu", True, 1, 8 * GIB)
    assert (flavor.gpu, flavor.gpu_model, flavor.limit) == (False, None, 32)


def test_an_administrator_may_want_it_otherwise() -> None:
    shares = [
        FlavorShare(id="cpu", default=True, limit=4, description="a small one"),
        FlavorShare(id="a-1-gpu", cpus=3, memory_bytes=5 * GIB),
        FlavorShare(id="no-such"),
    ]
    flavors = by_id(derive_flavors(gpus("NVIDIA A"), HOST, shares))
    assert set(flavors) == {"a-1-gpu", "cpu"}
    assert (flavors["cpu"].default, flavors["cpu"].limit, flavors["cpu"].description) == (True, 4, "a small one")
    assert (flavors["a-1-gpu"].default, flavors["a-1-gpu"].cpus, flavors["a-1-gpu"].memory_bytes) == (False, 3, 5 * GIB)
    assert flavors["a-1-gpu"].limit == 1


def test_shared_memory_is_what_the_administrator_says_for_each_unit_or_follows_from_the_memory() -> None:
    gpu, cpu = derive_flavors(gpus("A", "A"), HOST, [FlavorShare(id="a-1-gpu", shm_bytes=3 * GIB)])
    assert amount(ResourceRequest(flavor=gpu.id, units=2, gpu=True), gpu).shm_bytes == 6 * GIB
    assert amount(ResourceRequest(flavor=cpu.id, units=2, gpu=False), cpu).shm_bytes is None


def test_a_request_comes_to_units_times_the_flavor() -> None:
    flavor = derive_flavors(gpus(*["NVIDIA A"] * 4), HOST)[0]
    held = amount(ResourceRequest(flavor=flavor.id, units=3, gpu=True), flavor)
    assert (held.gpus, held.cpus, held.memory_bytes, held.gpu_model) == (3, 24, 192 * GIB, "NVIDIA A")
    cpu = derive_flavors([], HOST)[0]
    assert amount(ResourceRequest(flavor="cpu", units=3, gpu=False), cpu).gpus == 0
