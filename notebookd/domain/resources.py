# SPDX-License-Identifier: Apache-2.0
"""Flavors: what one unit of compute is, derived from the machine."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from notebookd.domain.compute import Resources
from notebookd.domain.gpu import GpuUnit
from notebookd.domain.notebook import ResourceRequest

GIB = 1024**3
MIB = 1024**2

CPU_FLAVOR = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCompute:
    """The machine's own CPUs and memory."""

    cpus: int
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """One unit of compute: a GPU of a model with its share of the host, or a CPU with its share of memory.

    ``limit`` is the most units one notebook may ask for; ``shm_bytes`` None is as its memory has it. ``groups`` are
    those whose members may use it; empty is everybody.
    """

    id: str
    description: str
    limit: int
    cpus: int
    memory_bytes: int
    gpu_model: str | None = None
    gpu_memory_bytes: int | None = None
    shm_bytes: int | None = None
    default: bool = False
    groups: tuple[str, ...] = ()

    @property
    def gpu(self) -> bool:
        """Whether a unit is a GPU."""
        return self.gpu_model is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlavorShare:
    """What an administrator wants otherwise in a derived flavor; None is as derived. Amounts are per unit."""

    id: str
    description: str | None = None
    cpus: int | None = None
    memory_bytes: int | None = None
    shm_bytes: int | None = None
    limit: int | None = None
    default: bool = False
    groups: tuple[str, ...] = ()


def gpu_flavor_id(model: str) -> str:
    """The flavor id of a GPU model: ``NVIDIA H100 80GB HBM3`` -> ``h100-80gb-hbm3-1-gpu``."""
    words = _slug(model).split("-")
    return "-".join([*(word for word in words if word not in {"nvidia", "gpu", "geforce"}), "1", "gpu"])


def brand_and_model(name: str) -> tuple[str, str]:
    """A GPU's maker and the rest of its name: ``NVIDIA H100 80GB HBM3`` is NVIDIA's ``H100 80GB HBM3``."""
    brand, _, model = name.partition(" ")
    return brand, model or brand


def derive_flavors(
    units: Sequence[GpuUnit], host: HostCompute, shares: Sequence[FlavorShare] = ()
) -> tuple[Flavor, ...]:
    """Flavors of this machine: one per GPU model, the most numerous first and default, then the CPU flavor.

    A GPU's share is the host's CPUs and memory over the number of GPUs (at least one CPU).
    """
    models: dict[str, list[GpuUnit]] = {}
    for unit in units:
        models.setdefault(unit.model, []).append(unit)
    ids = _flavor_ids(models)
    flavors = [
        Flavor(
            id=ids[model],
            description=f"1 {model}",
            limit=len(members),
            cpus=max(1, host.cpus // len(units)),
            memory_bytes=_whole_mib(host.memory_bytes // len(units)),
            gpu_model=model,
            gpu_memory_bytes=members[0].memory_bytes,
        )
        for model, members in sorted(models.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    flavors.append(
        Flavor(
            id=CPU_FLAVOR,
            description="1 CPU of the host",
            limit=host.cpus,
            cpus=1,
            memory_bytes=_whole_mib(host.memory_bytes // host.cpus),
        )
    )
    wanted = {share.id: share for share in shares}
    default = next((share.id for share in shares if share.default), flavors[0].id)
    return tuple(_with_share(flavor, wanted.get(flavor.id), default=flavor.id == default) for flavor in flavors)


def _flavor_ids(models: Iterable[str]) -> dict[str, str]:
    """An id for each model; two that would share one keep their whole name."""
    ids = {model: gpu_flavor_id(model) for model in models}
    shared = {each for each, count in Counter(ids.values()).items() if count > 1}
    return {model: f"{_slug(model)}-1-gpu" if each in shared else each for model, each in ids.items()}


def _with_share(flavor: Flavor, share: FlavorShare | None, *, default: bool) -> Flavor:
    if share is None:
        return replace(flavor, default=default)
    return replace(
        flavor,
        default=default,
        description=share.description or flavor.description,
        cpus=share.cpus or flavor.cpus,
        memory_bytes=share.memory_bytes or flavor.memory_bytes,
        shm_bytes=share.shm_bytes,
        limit=share.limit or flavor.limit,
        groups=share.groups,
    )


def amount(request: ResourceRequest, flavor: Flavor) -> Resources:
    """What ``request`` comes to: units times the flavor."""
    return Resources(
        flavor=flavor.id,
        units=request.units,
        gpu=request.gpu,
        cpus=flavor.cpus * request.units,
        memory_bytes=flavor.memory_bytes * request.units,
        gpu_model=flavor.gpu_model,
        gpu_memory_bytes=flavor.gpu_memory_bytes,
        shm_bytes=flavor.shm_bytes and flavor.shm_bytes * request.units,
    )


def _slug(model: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")


def _whole_mib(size: int) -> int:
    return max(size // MIB, 1) * MIB
