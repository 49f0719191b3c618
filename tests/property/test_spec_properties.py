# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from notebookd.config import parse_config
from notebookd.domain.catalogue import Catalogue
from notebookd.domain.gpu import GpuUnit
from notebookd.domain.resources import GIB, Flavor, HostCompute, amount, derive_flavors
from notebookd.domain.spec import ResourceWish, SpecWish, choose_resources, complete
from notebookd.domain.volumes import Volume

CATALOGUE = Catalogue.of(parse_config({}, source=None).images)

counts = st.one_of(st.none(), st.integers(-2, 12), st.integers())
ids = st.one_of(st.none(), st.sampled_from(["cpu", "a-1-gpu", "b-1-gpu"]), st.text(max_size=5))
machines = st.builds(
    lambda models, cpus: derive_flavors(
        [GpuUnit(uuid=str(i), index=i, model=m, memory_bytes=GIB) for i, m in enumerate(models)],
        HostCompute(cpus=cpus, memory_bytes=GIB * cpus),
    ),
    st.lists(st.sampled_from(["NVIDIA A", "NVIDIA B"]), max_size=8),
    st.integers(1, 64),
)
resource_wishes = st.builds(
    ResourceWish,
    gpu=counts,
    cpu=counts,
    flavor=ids,
    memory=counts,
    gpu_model=st.one_of(st.none(), st.just("NVIDIA A")),
    gpu_memory=st.one_of(st.none(), st.just(GIB)),
)
wishes = st.builds(
    SpecWish,
    editor=st.one_of(st.just("jupyterlab"), st.text()),
    framework=st.one_of(st.just("conda"), st.text()),
    version=st.one_of(st.none(), st.just("py311"), st.text()),
    name=st.one_of(st.none(), st.text(), st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)),
    resources=st.one_of(st.none(), resource_wishes),
    labels=st.one_of(st.none(), st.dictionaries(st.text(), st.text())),
    env_vars=st.one_of(st.none(), st.lists(st.tuples(st.text(), st.text())).map(tuple)),
    ssh_public_keys=st.one_of(st.none(), st.lists(st.text()).map(tuple)),
    volumes=st.one_of(st.none(), st.lists(st.builds(Volume, mount_path=st.text(max_size=60)), max_size=12).map(tuple)),
)


@given(wishes, machines)
def test_any_wish_is_a_specification_or_has_named_faults(wish: SpecWish, flavors: tuple[Flavor, ...]) -> None:
    spec, faults = complete(wish, CATALOGUE, flavors, name="generated")
    assert (spec is None) is bool(faults)
    for fault in faults:
        assert fault.path.startswith("$.")
        assert fault.message
    if spec is not None:
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", spec.name)
        assert spec.resources.units >= 1


@given(resource_wishes, machines)
def test_what_is_chosen_can_be_had_and_fits_the_wish(wish: ResourceWish, flavors: tuple[Flavor, ...]) -> None:
    chosen, faults = choose_resources(wish, flavors)
    if faults:
        return
    assert chosen is not None
    flavor = next(each for each in flavors if each.id == chosen.flavor)
    assert 1 <= chosen.units <= flavor.limit
    assert chosen.units == (wish.gpu or wish.cpu or 1)
    assert chosen.gpu is bool(not wish.cpu and wish.flavor != "cpu")
    held = amount(chosen, flavor)
    assert wish.memory in {None, held.memory_bytes}
    assert not (wish.gpu and wish.cpu)


@given(machines)
def test_a_machine_has_one_default_and_no_two_flavors_of_one_name(flavors: tuple[Flavor, ...]) -> None:
    assert [flavor.default for flavor in flavors].count(True) == 1
    assert len({flavor.id for flavor in flavors}) == len(flavors)
