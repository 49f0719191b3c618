# SPDX-License-Identifier: Apache-2.0
"""Each check of the doctor in a world where it is right, and in one where it is not: what finds a fault that is none is
not believed again, and what finds nothing is no check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from notebookd.doctor import Finding, Status, checks, examine
from notebookd.doctor.checks import CHECKS
from notebookd.doctor.finding import Check
from tests.unit.test_doctor import HOME, ME, World, _no_driver, listens, world
from tests.unit.test_doctor_surroundings import STRANGER_UID, units

__all__ = ["world"]

Change = Callable[[World], object]


@dataclass(frozen=True, slots=True)
class Pair:
    """What is changed of a machine in good health: first to where the check has something to look at and all is well,
    then to where it is not."""

    wrong: Change
    right: Change = lambda _: None


def _systemd(world: World) -> None:
    (world.root / "run/systemd/system").mkdir(parents=True)


def _file(world: World, name: str, text: str, mode: int = 0o644) -> str:
    file = world.root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    return str(file)


def _settings(**tables: object) -> Change:
    return lambda world: world.settings.update(tables)


def _open_engine(world: World) -> None:
    socket = world.config.engine.socket
    socket.chmod(0o666)
    for each in socket.parents:
        if each.stat().st_mode & 0o001 == 0:
            each.chmod(0o711)


def _certificates(text: str) -> Change:
    return lambda world: world.settings.update(notebooks={"ca_file": _file(world, "lab.pem", text)})


def _store(path: str) -> Change:
    return _settings(datastore=[{"alias": "lab", "path": path, "read": ["*"]}])


def _two_stores(world: World, mode: int) -> None:
    world.settings["datastore"] = [{"alias": "lab", "path": "/srv/lab", "write": ["*"]}]
    _file(world, "srv/lab/tool", "#!/bin/sh\n", mode)


SECURE = {"url": "https://{id}.localhost/"}
PAIRS: Mapping[Check, Pair] = {
    checks.check_configuration: Pair(
        right=lambda world: _file(world, "etc/notebookd.toml", "", 0o644),
        wrong=lambda world: (world.root / "etc/notebookd.toml").chmod(0o000),
    ),
    checks.check_mentions: Pair(
        right=_settings(quota={"user": {ME: {"gpus": 1}}}), wrong=_settings(quota={"user": {"newc-bob": {"gpus": 1}}})
    ),
    checks.check_units: Pair(right=_systemd, wrong=lambda world: world.versions.update(down="notebookd.service")),
    checks.check_engine: Pair(wrong=lambda world: world.info["host"]["security"].update(rootless=False)),
    checks.check_runtime_program: Pair(wrong=lambda world: world.info["host"].pop("ociRuntime")),
    checks.check_engine_settings: Pair(wrong=lambda world: world.info["host"].update(slirp4netns={"executable": ""})),
    checks.check_init: Pair(wrong=lambda world: world.programs.pop("catatonit")),
    checks.check_hooks: Pair(
        right=lambda world: _file(world, "etc/containers/oci/hooks.d/a.json", '{"hook": {"path": "/usr/bin/other"}}'),
        wrong=lambda world: _file(
            world, "etc/containers/oci/hooks.d/b.json", '{"hook": {"path": "/usr/bin/nvidia-container-toolkit"}}'
        ),
    ),
    checks.check_engine_socket: Pair(wrong=_open_engine),
    checks.check_seccomp: Pair(wrong=lambda world: world.info["host"]["security"].update(seccompEnabled=False)),
    checks.check_subordinate_ids: Pair(wrong=lambda world: world.write("/etc/subuid", "other:100000:65536\n")),
    checks.check_id_mappers: Pair(wrong=lambda world: Path(world.programs["newuidmap"]).chmod(0o755)),
    checks.check_kernel: Pair(
        right=lambda world: world.write("/proc/sys/user/max_user_namespaces", "15000\n"),
        wrong=lambda world: world.write("/proc/sys/user/max_user_namespaces", "0\n"),
    ),
    checks.check_confinement: Pair(
        right=lambda world: [
            world.write("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n"),
            world.write("/etc/apparmor.d/podman", ""),
        ],
        wrong=lambda world: (world.root / "etc/apparmor.d/podman").unlink(),
    ),
    checks.check_devices: Pair(wrong=lambda world: (world.root / "dev/net/tun").chmod(0o000)),
    checks.check_cgroups: Pair(wrong=lambda world: world.info["host"].update(cgroupControllers=["cpu"])),
    checks.check_linger: Pair(
        right=lambda world: [_systemd(world), world.write(f"/var/lib/systemd/linger/{ME}", "")],
        wrong=lambda world: (world.root / f"var/lib/systemd/linger/{ME}").unlink(),
    ),
    checks.check_gpus: Pair(wrong=lambda world: setattr(world, "nvml", _no_driver)),
    checks.check_groups: Pair(wrong=lambda world: world.groups.pop("notebookd-admin")),
    checks.check_folders: Pair(wrong=lambda world: (world.folder / "state").chmod(0o755)),
    checks.check_disk: Pair(wrong=_settings(store={"min_free": "4000000TiB"})),
    checks.check_clock: Pair(wrong=lambda world: setattr(world, "clock_error_s", 16.0)),
    checks.check_images: Pair(wrong=lambda world: world.images.clear()),
    checks.check_ca_file: Pair(
        right=_certificates("-----BEGIN CERTIFICATE-----"), wrong=_certificates("no certificate")
    ),
    checks.check_movers: Pair(wrong=lambda world: world.programs.pop("rclone")),
    checks.check_datastores: Pair(
        right=lambda world: [(world.root / "srv/lab").mkdir(parents=True), _store("/srv/lab")(world)],
        wrong=_store("/srv/absent"),
    ),
    checks.check_set_ids: Pair(
        right=lambda world: _two_stores(world, 0o755), wrong=lambda world: _two_stores(world, 0o4755)
    ),
    checks.check_api: Pair(wrong=lambda world: setattr(world, "health", 503)),
    checks.check_gateway: Pair(
        wrong=lambda world: world.write("/proc/net/tcp", f"  sl\n{listens(HOME, uid=STRANGER_UID)}")
    ),
    checks.check_names: Pair(wrong=lambda world: world.names.clear()),
    checks.check_proxies: Pair(
        right=_settings(gateway={**SECURE, "trusted_proxies": [ME]}), wrong=_settings(gateway=SECURE)
    ),
}


def found(world: World, check: Check) -> list[Finding]:
    """What a check finds. The configuration is a file where there is one; units are as systemd tells."""
    source = world.root / "etc/notebookd.toml"
    config = replace(world.config, source=source) if source.exists() else world.config
    machine = world.machine
    if check is checks.check_units:
        down = world.versions.get("down")
        machine = replace(machine, program_output=units({down: {"ActiveState": "failed"}} if down else {}))
    if check is checks.check_configuration:
        machine = replace(machine, account="nobody-we-know", account_group="nor-them")
    return examine(config, machine, checks=[check])


def test_every_check_has_a_pair() -> None:
    assert set(PAIRS) == set(CHECKS)
    assert len(CHECKS) == len(set(CHECKS))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_check_is_content_where_all_is_well_and_finds_what_is_not(world: World, check: Check) -> None:
    pair = PAIRS[check]
    pair.right(world)
    assert [each for each in found(world, check) if each.status is not Status.OK] == []
    pair.wrong(world)
    troubled = [each for each in found(world, check) if each.status is not Status.OK]
    assert troubled, "nothing was found"
    assert all(each.cure for each in troubled)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_fault_of_one_check_is_no_other_s(world: World, check: Check) -> None:
    """What one check is told apart by, the others do not take for theirs: a reader is sent to one place."""
    PAIRS[check].right(world)
    before = {each: _faults(world, each) for each in CHECKS}
    PAIRS[check].wrong(world)
    assert [each.__name__ for each in CHECKS if each is not check and _faults(world, each) - before[each]] == []


def _faults(world: World, check: Check) -> set[str]:
    return {each.seen for each in found(world, check) if each.status is not Status.OK}
