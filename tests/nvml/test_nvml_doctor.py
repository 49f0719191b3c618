# SPDX-License-Identifier: Apache-2.0
"""The doctor asks the driver by a process of its own: what that is told, and that a driver that hangs keeps nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from notebookd.config import parse_config
from notebookd.doctor import Machine, Status, examine
from notebookd.doctor.gpus import check_gpus
from notebookd.doctor.machine import NotSeen, program_output
from tests.nvml.stand_in import World, build

PROBE = Path(sys.modules[Machine.__module__].__file__ or "").with_name("nvml_probe.py")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The stand-in under the doctor's process; nothing of it is in this one."""
    world = World(tmp_path / "world")
    world.write("gpu 0", "gpu 3 uuid GPU-11111111-2222-3333-4444-555555555555")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(build().parent))
    monkeypatch.setenv("NVML_WORLD", str(world.path))
    return world


@pytest.mark.usefixtures("world")
def test_it_names_every_gpu() -> None:
    assert Machine().nvml_uuids() == [
        "GPU-00000000-0000-0000-0000-000000000000",
        "GPU-11111111-2222-3333-4444-555555555555",
    ]


def test_trouble_is_told_in_the_drivers_words(world: World) -> None:
    world.vanish()
    with pytest.raises(NotSeen, match=r"(?i)driver not loaded"):
        Machine().nvml_uuids()


def test_a_uuid_that_is_not_text_is_named_and_the_other_gpus_are_well(world: World) -> None:
    world.add("gpu 1 uuid GPU-\udcf8\udcff", "gpu 3 name \udcff", "gpu 3 bus \udcff")
    gpus, *_ = findings = examine(parse_config({}, source=None), Machine(), checks=[check_gpus])
    assert gpus.status is Status.WARN
    assert "GPU 1 has a UUID that is not text: GPU-\\xf8\\xff" in gpus.seen
    assert findings[1].status is Status.OK
    assert findings[1].seen.startswith("2: GPU-00000000-0000-0000-0000-000000000000, GPU-11111111-")


def test_a_driver_that_hangs_keeps_nobody(world: World) -> None:
    world.add("hang nvmlInitWithFlags 60000")
    with pytest.raises(subprocess.TimeoutExpired):
        program_output([sys.executable, "-I", str(PROBE)], timeout_s=1.0)


def test_what_to_do_about_a_driver_that_hangs() -> None:
    def hangs() -> list[str]:
        raise NotSeen("it did not answer in 5 s: the driver hangs")

    findings = examine(parse_config({}, source=None), Machine(nvml_uuids=hangs), checks=[check_gpus])
    assert (findings[0].status, "dmesg" in (findings[0].cure or "")) == (Status.FAIL, True)
