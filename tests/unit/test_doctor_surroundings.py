# SPDX-License-Identifier: Apache-2.0
"""What the doctor says of units, groups, confinement, devices, the clock, sockets, the port; and of a hang."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from notebookd.doctor import Finding, Machine, Status, examine
from notebookd.doctor.checks import CHECKS
from notebookd.doctor.machine import NotSeen, Patient, program_output
from notebookd.doctor.surroundings import UNITS
from tests.unit.test_doctor import HOME, HOME_6, IMAGE, ME, MY_GROUP, World, listens, world

__all__ = ["world"]

STRANGER_UID = 4_000_000_001


def only(world: World, name: str) -> Finding:
    (finding,) = (each for each in world.findings() if each.name == name and each.status is not Status.OK)
    return finding


# Units


def units(changes: dict[str, dict[str, str]], *, without: Sequence[str] = ()) -> Callable[[Sequence[str]], str]:
    """systemctl show, where all is well but for the changes."""

    def said(command: Sequence[str]) -> str:
        blocks = []
        for name in command[3:]:
            unit = {"Id": name, "LoadState": "loaded", "ActiveState": "active", "Result": "success"}
            unit |= {"LoadState": "not-found", "ActiveState": "inactive"} if name in without else {}
            unit |= changes.get(name, {})
            blocks.append("\n".join(f"{key}={value}" for key, value in unit.items()))
        return "\n\n".join(blocks)

    return said


def under_systemd(world: World, output: Callable[[Sequence[str]], str]) -> list[Finding]:
    """What is said of units."""
    (world.root / "run/systemd/system").mkdir(parents=True, exist_ok=True)
    machine = replace(world.machine, program_output=output)
    return [each for each in examine(world.config, machine) if each.name == "units"]


def test_units_that_are_all_active_are_well(world: World) -> None:
    (finding,) = under_systemd(world, units({}))
    assert finding.status is Status.OK
    assert f"user@{os.getuid()}.service" in finding.seen


def test_a_unit_that_is_down_fails_with_the_way_up(world: World) -> None:
    down = {"notebookd.service": {"ActiveState": "failed", "Result": "watchdog"}}
    (finding,) = under_systemd(world, units(down))
    assert (finding.status, finding.seen) == (Status.FAIL, "notebookd.service is failed (watchdog)")
    assert "systemctl reset-failed notebookd.service; systemctl start notebookd.service" in (finding.cure or "")


def test_a_unit_that_ends_again_and_again_fails(world: World) -> None:
    loop = {"ActiveState": "activating", "SubState": "auto-restart", "Result": "exit-code"}
    (finding,) = under_systemd(world, units({"notebookd-gateway.service": loop}))
    assert "notebookd-gateway.service ends as often as it is started (exit-code)" in finding.seen


def test_a_unit_that_is_not_there_fails(world: World) -> None:
    (finding,) = under_systemd(world, units({}, without=["notebookd-gateway.socket"]))
    assert "notebookd-gateway.socket is not there" in finding.seen


def test_a_unit_that_does_not_come_back_at_boot_is_a_warning(world: World) -> None:
    (finding,) = under_systemd(world, units({"notebookd.socket": {"UnitFileState": "disabled"}}))
    assert (finding.status, finding.cure) == (Status.WARN, "systemctl enable notebookd.socket")


def test_without_the_package_no_unit_is_missed(world: World) -> None:
    (finding,) = under_systemd(world, units({}, without=UNITS))
    assert (finding.status, "not run by systemd" in finding.seen) == (Status.OK, True)


def test_a_systemctl_that_does_not_answer_is_a_warning(world: World) -> None:
    def hangs(command: Sequence[str]) -> str:
        raise subprocess.TimeoutExpired(list(command), 5.0)

    (finding,) = under_systemd(world, hangs)
    assert (finding.status, "no answer in 5 s" in finding.seen) == (Status.WARN, True)


# Groups and sockets


def test_a_group_that_is_absent_fails(world: World) -> None:
    del world.groups["notebookd-admin"]
    assert only(world, "groups").cure == "groupadd --system notebookd-admin"


def test_an_account_that_cannot_hand_things_on_fails(world: World) -> None:
    machine = replace(world.machine, gateway_group="gate", group_members={"gate": frozenset({"x"})}.get)
    seen = [each.seen for each in examine(world.config, machine) if each.name == "groups"]
    assert any(text.startswith(f"{ME} is not in gate") for text in seen)


def test_an_api_of_another_group_is_a_warning_with_the_command(world: World) -> None:
    world.settings["api"] = {"group": "notebookd-admin"}
    finding = only(world, "api")
    path = world.config.api.socket
    assert finding.status is Status.WARN
    assert finding.cure == f"chown {ME}:notebookd-admin {path} && chmod 0660 {path}"


def test_an_engine_that_anybody_may_open_fails(world: World) -> None:
    socket = world.config.engine.socket
    socket.chmod(0o666)
    doors = [each for each in socket.parents if each.stat().st_mode & 0o001 == 0]
    assert [each.name for each in world.findings() if each.status is Status.FAIL] == []
    for each in doors:
        assert each.stat().st_uid == os.getuid()
        each.chmod(0o711)
    assert only(world, "engine socket").cure == f"chmod 0600 {socket}"


def test_cures_go_the_packages_way_to_the_engine_where_it_is_there(world: World) -> None:
    world.images.clear()
    assert "contrib/quickstart --image jupyterlab builds it" in (only(world, "images").cure or "")
    world.write("/usr/sbin/notebookd-engine", "")
    assert only(world, "images").cure == "sudo notebookd-engine /usr/share/notebookd/images/build jupyterlab"


# Confinement, devices, limits, clock


def test_selinux_that_enforces_is_a_hint_about_labels(world: World) -> None:
    world.write("/sys/fs/selinux/enforce", "0")
    assert world.trouble() == {}
    world.write("/sys/fs/selinux/enforce", "1")
    assert f"restorecon -R {world.config.paths.workspaces}" in (only(world, "selinux").cure or "")


def test_apparmor_without_a_profile_for_podman_fails(world: World) -> None:
    world.write("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n")
    assert only(world, "apparmor").status is Status.FAIL
    world.write("/etc/apparmor.d/podman", "")
    assert world.trouble() == {}


def test_devices_are_those_that_the_engine_sees(world: World, tmp_path: Path) -> None:
    """It may live in a mount namespace of its own, as under quickstart."""
    (world.root / "dev/net/tun").chmod(0o600)
    world.engine_root = tmp_path / "engine-root"
    own = world.engine_root / "dev/net/tun"
    own.parent.mkdir(parents=True)
    own.touch(0o666)
    own.chmod(0o666)
    assert "devices" not in world.trouble()
    own.chmod(0o000)
    assert "/dev/net/tun is 0000" in only(world, "devices").seen
    own.unlink()
    assert "absent" in only(world, "devices").seen


def test_a_device_of_the_account_s_own_may_be_used(world: World) -> None:
    (world.root / "dev/net/tun").chmod(0o600)  # the account of this world is who runs the tests, and made the file
    assert "devices" not in world.trouble()
    machine = replace(world.machine, account="nobody-we-know")
    found = [each for each in examine(world.config, machine) if each.name == "devices"]
    assert [each.status for each in found] == [Status.FAIL]


def test_the_root_of_a_server_is_that_of_its_process(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert Machine().root_of_server(path) == Path(f"/proc/{os.getpid()}/root")
    assert Machine().root_of_server(tmp_path / "absent.sock") is None


def test_a_tun_device_that_is_gone_or_shut_fails(world: World) -> None:
    tun = world.root / "dev/net/tun"
    tun.chmod(0o000)
    assert only(world, "devices").cure == "chmod 0666 /dev/net/tun"
    tun.unlink()
    assert (only(world, "devices").cure or "").startswith("modprobe tun")


def test_fuse_is_wanted_only_where_the_engine_uses_it(world: World) -> None:
    world.info["store"]["graphOptions"] = {"overlay.mount_program": {"Executable": "/usr/bin/fuse-overlayfs"}}
    assert "/dev/fuse is absent" in only(world, "devices").seen


@pytest.mark.parametrize(
    "setting", ["fs.inotify.max_user_instances", "fs.inotify.max_user_watches", "kernel.keys.maxkeys"]
)
def test_limits_that_one_container_can_use_up_are_a_warning(world: World, setting: str) -> None:
    world.write(f"/proc/sys/{setting.replace('.', '/')}", "128\n")
    finding = only(world, "limits")
    assert (finding.status, f"{setting} = 128" in finding.seen) == (Status.WARN, True)
    assert f"echo '{setting} = " in (finding.cure or "")


def test_a_clock_that_drifts_is_a_warning(world: World) -> None:
    world.clock_error_s = 16.0
    assert "timedatectl set-ntp true" in (only(world, "clock").cure or "")


def test_the_real_clock_can_be_asked() -> None:
    assert Machine().clock_error_s() >= 0


# The engine's settings and images


def test_a_journal_that_gives_nothing_back_fails_for_a_service_account(world: World) -> None:
    world.info["host"] |= {"logDriver": "journald", "eventLogger": "journald"}
    troubled = [each for each in world.findings() if each.status is not Status.OK]
    if os.getuid() < 1000:
        assert [each.name for each in troubled] == ["engine settings", "engine settings"]
        assert 'log_driver = "k8s-file"' in (troubled[0].cure or "")
    else:
        assert troubled == []


def test_an_engine_without_a_network_program_fails(world: World) -> None:
    world.info["host"]["slirp4netns"] = {"executable": ""}
    assert only(world, "engine settings").cure == "apt-get install passt"


def stored(store: Path, *, prepared: bool) -> None:
    """A store of images notes one, and another without a name."""
    images: list[dict[str, Any]] = [{"names": [IMAGE], "mapped-layers": ["c140"] * prepared}, {"names": None}]
    (store / "overlay-images").mkdir(parents=True, exist_ok=True)
    (store / "overlay-images/images.json").write_text(json.dumps(images))


def test_an_image_whose_layers_are_not_prepared_is_a_warning_with_the_command(world: World) -> None:
    storage = world.folder / "storage"
    world.info["store"]["graphRoot"] = str(storage)
    stored(storage, prepared=False)
    finding = only(world, "images")
    assert (finding.status, "not prepared" in finding.seen) == (Status.WARN, True)
    assert f"notebookctl image prepare {IMAGE}" == finding.cure
    stored(storage, prepared=True)
    assert world.trouble() == {}


def test_an_image_may_be_prepared_in_any_of_the_stores_that_the_engine_reads(world: World) -> None:
    own, *shared = [world.folder / name for name in ("own", "one", "two", "three")]
    own.mkdir()
    settings = world.folder / "storage.conf"
    settings.write_text(f"[storage.options]\nadditionalimagestores = {json.dumps([str(each) for each in shared])}\n")
    world.info["store"] |= {
        "graphRoot": str(own),
        "configFile": str(settings),
        "graphOptions": {"overlay.imagestore": str(shared[-1])},
    }
    stored(shared[1], prepared=True)
    assert world.trouble() == {}
    stored(shared[1], prepared=False)
    finding = only(world, "images")
    assert "every start takes some seconds more" in finding.seen
    assert finding.cure == f"prepare it with the engine that writes {shared[1]}, which this one only reads"


# The gateway's port


def gateway(world: World) -> dict[str, Finding]:
    """What is said of each address."""
    return {each.seen.partition(" is held")[0]: each for each in world.findings() if each.name == "gateway"}


def test_a_port_held_by_somebody_else_fails_with_who_it_is(world: World) -> None:
    world.write("/proc/net/tcp6", f"  sl\n{listens(HOME_6, uid=STRANGER_UID)}")
    finding = only(world, "gateway")
    assert finding.status is Status.FAIL
    assert finding.seen.startswith(f"[::1]:8421 is held by {STRANGER_UID}: not by the gateway")
    assert "ss -ltnp 'sport = :8421'" in (finding.cure or "")


@pytest.mark.parametrize(("program", "status"), [("systemd", Status.OK), ("nginx", Status.FAIL)])
def test_of_root_it_counts_which_program_holds_it(world: World, program: str, status: Status) -> None:
    world.write("/proc/net/tcp", f"  sl\n{listens(HOME, inode=4711)}")
    world.write("/proc/812/comm", f"{program}\n")
    (world.root / "proc/812/fd").mkdir()
    (world.root / "proc/812/fd/5").symlink_to("socket:[4711]")
    finding = gateway(world)["127.0.0.1:8421"]
    assert (finding.status, f"root ({program}, pid 812)" in finding.seen) == (status, True)


def test_one_loopback_left_to_others_fails_and_both_are_a_warning(world: World) -> None:
    world.write("/proc/net/tcp6", "  sl\n")
    finding = only(world, "gateway")
    assert (finding.status, "nobody listens on [::1]:8421" in finding.seen) == (Status.FAIL, True)
    world.write("/proc/net/tcp", f"  sl\n{listens(HOME, port=80)}odd line\n")
    assert {each.status for each in world.findings() if each.name == "gateway"} == {Status.WARN}


def test_a_held_port_behind_which_nobody_answers_fails(world: World) -> None:
    world.silent.add(("::1", 8421))
    finding = only(world, "gateway")
    assert (finding.status, finding.seen) == (
        Status.FAIL,
        "[::1]:8421 is held by root, and does not answer: timed out",
    )


def test_without_ipv6_one_loopback_is_enough(world: World) -> None:
    world.write("/proc/net/if_inet6", "")
    world.write("/proc/net/tcp6", "  sl\n")
    assert world.trouble() == {}


def test_a_listener_on_every_address_holds_the_loopbacks_too(world: World) -> None:
    world.write("/proc/net/tcp", "  sl\n")
    world.write("/proc/net/tcp6", f"  sl\n{listens('0' * 32, uid=STRANGER_UID)}")
    assert [each.status for each in world.findings() if each.name == "gateway"] == [Status.FAIL, Status.FAIL]


# Nothing holds it up


def stuck(_patient: Patient) -> Iterator[Finding]:
    threading.Event().wait()
    yield from ()


def broken(_patient: Patient) -> Iterator[Finding]:
    yield Finding(name="broken", status=Status.OK, seen="as far as it got")
    raise ZeroDivisionError("odd")


def test_a_check_that_hangs_or_breaks_leaves_the_others_their_say(world: World) -> None:
    began = time.monotonic()
    findings = examine(world.config, world.machine, checks=(stuck, *CHECKS, broken), patience_s=2.0)
    assert time.monotonic() - began < 10
    assert (findings[0].name, "something hangs" in findings[0].seen) == ("stuck", True)
    assert [each.seen for each in findings[-2:]] == [
        "as far as it got",
        "the check itself failed: ZeroDivisionError: odd",
    ]
    assert len(findings) > 20


def test_a_program_that_does_not_end_is_given_up() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        program_output([sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=0.2)


def test_without_a_driver_the_probe_of_its_own_says_so(tmp_path: Path) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("there is a driver")
    with pytest.raises(NotSeen, match=r"(?i)not found|no module"):
        Machine().nvml_uuids()


def test_the_account_of_the_world_is_in_its_group(world: World) -> None:
    assert world.groups[MY_GROUP] == {ME}
