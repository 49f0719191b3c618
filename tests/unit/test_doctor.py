# SPDX-License-Identifier: Apache-2.0
"""The doctor on made-up machines: a folder for its files, a small server where the engine would be."""

from __future__ import annotations

import grp
import http.server
import io
import json
import os
import pwd
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from notebookd.config import Config, parse_config
from notebookd.doctor import Finding, Machine, Status, check_config, examine, main, run_doctor
from notebookd.doctor.machine import NotSeen

ME = pwd.getpwuid(os.getuid()).pw_name
MY_GROUP = grp.getgrgid(os.getgid()).gr_name
UUID = "GPU-11111111-2222-3333-4444-555555555555"
IMAGE = "localhost/notebookd/jupyterlab:1"
SPEC = f"cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: {UUID}\n"


HOME, HOME_6 = "0100007F", "00000000000000000000000001000000"


def listens(address: str, *, uid: int = 0, inode: int = 77, port: int = 8421) -> str:
    """A row of /proc/net/tcp."""
    return f"   0: {address}:{port:04X} {'0' * len(address)}:0000 0A 0:0 00:0 0 {uid} 0 {inode} 1 0\n"


@dataclass
class World:
    """A machine in good health, for a test to spoil."""

    folder: Path
    info: dict[str, Any] = field(
        default_factory=lambda: {
            "host": {
                "cgroupVersion": "v2",
                "cgroupControllers": ["cpu", "cpuset", "io", "memory", "pids"],
                "logDriver": "k8s-file",
                "eventLogger": "file",
                "slirp4netns": {"executable": "/usr/bin/slirp4netns"},
                "ociRuntime": {"name": "crun", "version": "crun version 1.8.1\ncommit: f8a0"},
                "security": {"rootless": True, "seccompEnabled": True},
            },
            "store": {"graphDriverName": "overlay"},
            "version": {"Version": "4.3.1"},
        }
    )
    images: set[str] = field(default_factory=lambda: {IMAGE})
    health: int = 200
    programs: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    nvml: Callable[[], list[str]] = lambda: [UUID]
    settings: dict[str, Any] = field(default_factory=dict)
    clock_error_s: float = 0.01
    names: set[str] = field(default_factory=lambda: {"localhost"})
    flavors: list[str] | None = None
    engine_root: Path | None = None
    silent: set[tuple[str, int]] = field(default_factory=set)
    nosuid: bool = True
    groups: dict[str, set[str]] = field(default_factory=lambda: {MY_GROUP: {ME}, "notebookd-admin": set()})

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def config(self) -> Config:
        here = {
            "paths": {"state": str(self.folder / "state"), "runtime": str(self.folder / "run")},
            "engine": {"socket": str(self.folder / "engine.sock")},
            "api": {"group": MY_GROUP},
        }
        return parse_config(here | self.settings, source=None)

    @property
    def machine(self) -> Machine:
        return Machine(
            root=self.root,
            account=ME,
            account_group=MY_GROUP,
            gateway_account=ME,
            gateway_group=MY_GROUP,
            find_program=self.programs.get,
            program_output=self.version_of,
            nvml_uuids=self.nvml,
            clock_error_s=lambda: self.clock_error_s,
            http_status=self.http_status,
            is_nosuid=lambda _: self.nosuid,
            root_of_server=lambda _: self.engine_root,
            addresses_of=self.addresses_of,
            group_members=lambda name: frozenset(self.groups[name]) if name in self.groups else None,
        )

    def http_status(self, host: str, port: int) -> int:
        if (host, port) in self.silent:
            raise TimeoutError("timed out")
        return 404

    def addresses_of(self, name: str) -> list[str]:
        if name.partition(".")[2] not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ["127.0.0.1"]

    def version_of(self, command: Sequence[str]) -> str:
        return self.versions.get(command[0], f"{command[0]} version 9")

    def write(self, path: str, text: str) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def answer(self, target: str) -> tuple[int, bytes]:
        """What the engine and the daemon say."""
        if target == "/v1/health":
            return self.health, b"{}"
        if target == "/v1/capabilities/flavor" and self.flavors is not None:
            return 200, json.dumps([{"id": each} for each in self.flavors]).encode()
        if target.endswith("/libpod/info"):
            return 200, json.dumps(self.info).encode()
        image = target.removeprefix("/v4.0.0/libpod/images/").removesuffix("/exists")
        return (204 if image in self.images else 404), b""

    def findings(self) -> list[Finding]:
        return examine(self.config, self.machine)

    def trouble(self) -> dict[str, Finding]:
        """Name -> finding, of what is not ok."""
        return {finding.name: finding for finding in self.findings() if finding.status is not Status.OK}


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    world: World


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        status, body = self.server.world.answer(self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body:
            self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *arguments: object) -> None:
        """A test's server has nothing to say."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(folder=tmp_path)
    folders = (
        ("state", 0o700),
        ("run", 0o755),
        ("run/editors", 0o2750),
        ("run/routes", 0o2750),
        ("run/activity", 0o2770),
    )
    for name, mode in folders:
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
    world.write("/etc/subuid", f"other:100000:65536\n{ME}:165536:65536\n")
    world.write("/etc/subgid", f"# a comment\n{ME}:165536:65536\n")
    world.write("/proc/sys/fs/inotify/max_user_instances", "8192\n")
    world.write("/etc/cdi/nvidia.yaml", SPEC)
    world.write("/usr/share/containers/seccomp.json", "{}")
    world.info["host"]["security"]["seccompProfilePath"] = str(world.root / "usr/share/containers/seccomp.json")
    world.write("/dev/net/tun", "")
    (world.root / "dev/net/tun").chmod(0o666)
    world.write("/proc/net/if_inet6", "00000000000000000000000000000001 01 80 10 80 lo\n")
    world.write("/proc/net/tcp", f"  sl\n{listens(HOME)}")
    world.write("/proc/net/tcp6", f"  sl\n{listens(HOME_6)}")
    for program in ("newuidmap", "newgidmap"):
        world.write(f"/usr/bin/{program}", "")
        (world.root / "usr/bin" / program).chmod(0o4755)
        world.programs[program] = str(world.root / "usr/bin" / program)
    for program in ("rclone", "git", "restic", "catatonit"):
        world.programs[program] = f"/usr/bin/{program}"
    servers = [_Server(str(path), _Answers) for path in (tmp_path / "engine.sock", tmp_path / "run/api.sock")]
    threads = [threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}) for server in servers]
    (tmp_path / "run/api.sock").chmod(0o660)
    for server, thread in zip(servers, threads, strict=True):
        server.world = world
        thread.start()
    yield world
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_healthy_machine_has_nothing_to_cure(world: World) -> None:
    assert world.trouble() == {}
    assert run_doctor(world.config, out=io.StringIO(), machine=world.machine) == 0


def test_every_trouble_has_a_cure(tmp_path: Path) -> None:
    """On a machine that has nothing at all."""
    findings = World(folder=tmp_path, nvml=_no_driver).findings()
    troubled = [finding for finding in findings if finding.status is not Status.OK]
    assert len(troubled) > 10
    assert all(finding.cure for finding in troubled)
    assert {"engine", "podman", "crun", "newuidmap", "subuid", "gpus", "cdi", "folders", "api"} <= {
        finding.name for finding in troubled
    }


def test_an_engine_that_does_not_answer_leaves_the_programs_to_be_asked(world: World) -> None:
    world.settings["engine"] = {"socket": str(world.folder / "absent.sock")}
    world.programs |= {"podman": "/usr/bin/podman"}
    trouble = world.trouble()
    assert trouble["engine"].status is Status.FAIL
    assert "No such file" in trouble["engine"].seen
    assert trouble["crun"].cure == "apt-get install crun"
    assert "podman version 9" in [finding.seen for finding in world.findings()]


def test_a_podman_too_old_is_named_with_what_is_needed(world: World) -> None:
    world.info["version"]["Version"] = "3.4.4"
    assert "3.4.4" in world.trouble()["engine"].seen
    world.info["version"]["Version"] = "5.10.0-rc1"
    assert world.trouble() == {}


def test_an_engine_run_by_root_fails(world: World) -> None:
    world.info["host"]["security"]["rootless"] = False
    assert world.trouble()["engine"].status is Status.FAIL


def test_an_engine_that_answers_oddly_does_not_stop_the_doctor(world: World) -> None:
    world.info = {}
    assert {"runtime", "cgroups"} <= set(world.trouble())


def test_missing_controllers_are_a_warning_that_names_them(world: World) -> None:
    world.info["host"]["cgroupControllers"] = ["cpu"]
    finding = world.trouble()["cgroups"]
    assert finding.status is Status.WARN
    assert "cpuset, io, memory, pids" in finding.seen
    assert "unified_cgroup_hierarchy" in (finding.cure or "")
    (world.root / "run/systemd/system").mkdir(parents=True)
    assert f"/etc/systemd/system/user@{os.getuid()}.service.d/" in (world.trouble()["cgroups"].cure or "")
    assert "Delegate=cpu cpuset io memory pids" in (world.trouble()["cgroups"].cure or "")


def test_ids_are_proposed_where_nobody_else_has_any(world: World) -> None:
    world.write("/etc/subuid", "other:100000:65536\nthird:165536:65536\n")
    finding = world.trouble()["subuid"]
    assert finding.status is Status.FAIL
    assert finding.cure == f"usermod --add-subuids 231072-296607 {ME}"


def test_ids_by_number_count_too(world: World) -> None:
    world.write("/etc/subuid", f"{os.getuid()}:165536:65536\n")
    assert world.trouble() == {}


def test_ids_that_another_account_has_as_well_fail(world: World) -> None:
    world.write("/etc/subuid", f"other:200000:65536\n{ME}:165536:65536\n")
    finding = world.trouble()["subuid"]
    assert finding.status is Status.FAIL
    assert "shares 165536-231071 with other" in finding.seen
    assert f"usermod --del-subuids 165536-231071 --add-subuids 265536-331071 {ME}" in (finding.cure or "")
    world.write("/etc/subuid", f"other:231072:65536\n{ME}:165536:65536\n")
    assert world.trouble() == {}


def test_a_mapper_that_lost_its_setuid_bit_fails(world: World) -> None:
    Path(world.programs["newuidmap"]).chmod(0o755)
    assert world.trouble()["newuidmap"].cure == f"chmod u+s {world.programs['newuidmap']}"


@pytest.mark.parametrize("setting", ["user/max_user_namespaces", "kernel/unprivileged_userns_clone"])
def test_forbidden_user_namespaces_fail(world: World, setting: str) -> None:
    world.write(f"/proc/sys/{setting}", "0\n")
    assert setting.replace("/", ".") in world.trouble()["user namespaces"].seen


def test_lingering_is_asked_for_only_where_systemd_runs(world: World) -> None:
    (world.root / "run/systemd/system").mkdir(parents=True)
    assert world.trouble()["linger"].cure == f"loginctl enable-linger {ME}"
    world.write(f"/var/lib/systemd/linger/{ME}", "")
    assert world.trouble() == {}


def _no_driver() -> list[str]:
    raise NotSeen("Driver Not Loaded")


def test_a_driver_that_does_not_answer_fails_unless_the_gpus_are_simulated(world: World) -> None:
    world.nvml = _no_driver
    assert "modprobe" in (world.trouble()["gpus"].cure or "")
    world.settings["gpus"] = {"driver": "simulated", "simulated": 2}
    (world.root / "etc/cdi/nvidia.yaml").unlink()
    assert world.trouble() == {}


@pytest.mark.parametrize(("options", "hidden"), [("rw,hidepid=2", True), ("rw,hidepid=invisible", True), ("rw", False)])
def test_a_proc_that_hides_strangers_is_a_warning(world: World, options: str, hidden: bool) -> None:
    world.write("/proc/mounts", f"sysfs /sys sysfs rw 0 0\nproc /proc proc {options} 0 0\nodd\n")
    assert ("processes" in world.trouble()) is hidden


def test_a_driver_without_gpus_is_suspicious(world: World) -> None:
    world.nvml = list
    assert world.trouble()["gpus"].status is Status.WARN


@pytest.mark.parametrize(
    ("name", "mode", "status"),
    [("state", 0o755, Status.FAIL), ("run/routes", 0o2755, Status.FAIL), ("run/editors", 0o700, Status.WARN)],
)
def test_a_folder_open_too_wide_fails_and_one_too_narrow_warns(
    world: World, name: str, mode: int, status: Status
) -> None:
    (world.folder / name).chmod(mode)
    finding = world.trouble()["folders"]
    assert finding.status is status
    assert (finding.cure or "").startswith("install -d -m ")
    assert str(world.folder / name) in (finding.cure or "")


def test_a_link_in_place_of_a_folder_fails(world: World) -> None:
    (world.folder / "run/routes").rmdir()
    (world.folder / "run/routes").symlink_to(world.folder / "state")
    assert "not a folder" in world.trouble()["folders"].seen


def test_a_folder_of_somebody_else_fails(world: World) -> None:
    machine = replace(world.machine, gateway_account="nobody-we-know")
    troubled = {finding.seen for finding in examine(world.config, machine) if finding.status is Status.FAIL}
    assert any("run/activity" in seen and "nobody-we-know" in seen for seen in troubled)


def test_a_configuration_that_the_service_may_not_read_fails(world: World) -> None:
    """Root may, and so may check-config."""
    for name in ("notebookd.toml", "catalogue.d/mine.toml"):
        world.write(f"etc/{name}", "")
    config = replace(world.config, source=world.root / "etc/notebookd.toml")
    entry = world.root / "etc/catalogue.d/mine.toml"
    entry.chmod(0o440)
    assert not [each for each in examine(config, world.machine) if each.name == "configuration" and each.cure]
    other = replace(world.machine, account="nobody-we-know", account_group="nor-them")
    found = [each for each in examine(config, other) if each.name == "configuration" and each.status is Status.FAIL]
    assert [each.cure for each in found] == [f"chmod a+r {entry}"]


def test_a_full_disk_fails(world: World) -> None:
    world.settings["store"] = {"min_free": "4000000TiB"}
    assert world.trouble()["disk of state"].status is Status.FAIL


def test_too_few_inodes_fail(world: World) -> None:
    if not os.statvfs(world.root).f_files:
        pytest.skip("this file system makes inodes as they are wanted")
    world.settings["store"] = {"min_free_inodes": 2**52}
    found = world.trouble()["disk of state"]
    assert found.status is Status.FAIL
    assert "inodes free" in found.seen


def test_an_absent_image_fails_only_when_there_is_no_other(world: World) -> None:
    torch = {"editor": "jupyterlab", "framework": "pytorch", "version": "2.5", "image": "lab/torch:2.5"}
    world.settings["image"] = [torch]
    assert world.trouble()["images"].status is Status.WARN
    world.images.clear()
    assert world.trouble()["images"].status is Status.FAIL
    world.images |= {"lab/torch:2.5", IMAGE}
    assert world.trouble() == {}


@pytest.mark.parametrize(
    ("image", "packaged", "cure"),
    [
        ("localhost/notebookd/vscode:1", True, "sudo notebookd-engine /usr/share/notebookd/images/build vscode"),
        ("localhost/notebookd/vscode:1", False, "contrib/quickstart --image vscode builds it"),
        ("localhost/mine:2", True, "build it under that name"),
        ("docker.io/lab/torch:2.5", True, "notebookctl image pull docker.io/lab/torch:2.5"),
    ],
)
def test_the_cure_of_an_absent_image_is_its_own(world: World, image: str, packaged: bool, cure: str) -> None:
    if packaged:
        world.write("/usr/sbin/notebookd-engine", "")
    world.settings["image"] = [{"editor": "jupyterlab", "framework": "pytorch", "version": "2.5", "image": image}]
    finding = world.trouble()["images"]
    assert image in finding.seen
    assert cure in (finding.cure or "")


def test_a_daemon_that_is_down_or_unwell_is_a_warning(world: World) -> None:
    world.health = 503
    assert "503" in world.trouble()["api"].seen
    world.settings["api"] = {"socket": str(world.folder / "absent.sock")}
    finding = world.trouble()["api"]
    assert (finding.status, "No such file" in finding.seen) == (Status.WARN, True)


def test_an_api_open_to_everybody_fails(world: World) -> None:
    world.config.api.socket.chmod(0o666)
    assert world.trouble()["api"].cure == f"chmod 0660 {world.config.api.socket}"


def test_the_report_for_programs_is_one_object(world: World) -> None:
    world.images.clear()
    out = io.StringIO()
    assert run_doctor(world.config, json_output=True, out=out, machine=world.machine) == 1
    report = json.loads(out.getvalue())
    assert report["ok"] is False
    assert {tuple(finding) for finding in report["findings"]} == {("name", "status", "seen", "cure")}


def test_the_report_for_people_has_the_cure_under_what_was_seen(world: World) -> None:
    world.images.clear()
    out = io.StringIO()
    run_doctor(world.config, out=out, machine=world.machine)
    lines = out.getvalue().splitlines()
    position = next(number for number, line in enumerate(lines) if line.startswith("fail images"))
    assert lines[position + 1].strip().startswith("cure: ")
    assert lines[-1].endswith("0 to look at, 1 failed")


def test_each_fault_of_a_configuration_is_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "notebookd.toml"
    file.write_text('[gpus]\ndriver = "nvlm"\n[lifecycle]\nmax_running = "week"\n')
    assert main(["--json", "--config", str(file)]) == 1
    seen = [finding["seen"] for finding in json.loads(capsys.readouterr().out)["findings"]]
    assert [f"{file} {key}:" in text for key, text in zip(("gpus.driver", "lifecycle.max_running"), seen, strict=True)]
    assert "did you mean 'nvml'?" in seen[0]


def test_a_configuration_that_cannot_be_used_is_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "notebookd.toml"
    file.write_text("[gpu]\n")
    assert main(["--json", "--config", str(file)]) == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["name"], finding["status"]) == ("configuration", "fail")
    assert "did you mean 'gpus'?" in finding["seen"]


NAMES_NOBODY: dict[str, Any] = {
    "quota": {
        "user": {"newc-bob": {"gpus": 1}, ME: {"gpus": 1}, "4033": {}},
        "group": {"studnets": {"gpus": 1}, MY_GROUP: {}},
    },
    "datastore": [
        {"alias": "DATA", "type": "directory", "path": "/srv/no-such", "read": ["*"], "write": ["@stuff", "carrol"]}
    ],
    "flavor": [{"id": "cpu", "groups": [MY_GROUP, "visoin"]}],
}
ABSENT = [
    "quota.user.newc-bob: there is no user newc-bob",
    "quota.group.studnets: there is no group studnets",
    "datastore[0].write: there is no group stuff",
    "datastore[0].write: there is no user carrol",
    "flavor[0].groups: there is no group visoin",
]


def test_whom_the_configuration_names_and_who_is_not_there_is_a_warning(world: World) -> None:
    assert [each.status for each in world.findings() if each.name == "configuration"] == [Status.OK]
    world.settings = NAMES_NOBODY
    found = [each for each in world.findings() if each.name == "configuration" and each.status is Status.WARN]
    assert [each.seen for each in found] == ABSENT


def test_flavors_are_looked_for_where_the_daemon_can_be_asked(world: World) -> None:
    world.settings = {"billing": {"rates": {"h100-1-gpu": "2", "h10-1-gpu": "1"}}, "flavor": [{"id": "a100-1-gpu"}]}
    assert "configuration" not in world.trouble(), "with the daemon down nobody knows"
    world.flavors = ["h100-1-gpu", "cpu"]
    found = [each for each in world.findings() if each.name == "configuration" and each.status is Status.WARN]
    assert [each.seen for each in found] == [
        "billing.rates.h10-1-gpu: there is no flavor h10-1-gpu",
        "flavor[0].id: there is no flavor a100-1-gpu",
    ]
    assert found[0].cure == "did you mean 'h100-1-gpu'?"


def test_check_config_warns_of_what_is_absent_and_is_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "notebookd.toml"
    file.write_text(
        f'[api]\ngroup = "{MY_GROUP}"\nadmin_group = "root"\n[quota.user.newc-bob]\ngpus = 1\n'
        f'[[datastore]]\nalias = "A"\ntype = "directory"\npath = "{tmp_path}"\nread = ["@root"]\n'
        '[[datastore]]\nalias = "B"\ntype = "directory"\npath = "/srv/no-such"\nread = ["root"]\n'
    )
    assert check_config([str(file)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "warning: quota.user.newc-bob: there is no user newc-bob",
        "  hint: `getent passwd` lists the accounts",
        "warning: datastore[1].path: there is no folder /srv/no-such",
        "  hint: make it, or name another",
    ]
    assert check_config(["--json", str(file)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["ok"]
    assert [(each["key"], each["message"]) for each in said["warnings"]] == [
        ("quota.user.newc-bob", "there is no user newc-bob"),
        ("datastore[1].path", "there is no folder /srv/no-such"),
    ]
    file.write_text(f'[api]\ngroup = "{MY_GROUP}"\nadmin_group = "root"\n')
    assert check_config([str(file)]) == 0
    assert "warning" not in capsys.readouterr().out


def test_a_host_name_that_programs_do_not_find_is_told_with_the_package_that_helps(world: World) -> None:
    world.names = set()
    finding = world.trouble()["names"]
    assert finding.status is Status.WARN
    assert "do not find *.localhost: Name or service not known; browsers and curl do" in finding.seen
    assert finding.cure == "sudo apt-get install libnss-myhostname"
    world.settings = {"gateway": {"domain": "gpu.example.org"}}
    assert "DNS record for *.gpu.example.org" in str(world.trouble()["names"].cure)
    world.names = {"gpu.example.org"}
    assert "names" not in world.trouble()


def test_a_proxy_that_is_not_named_or_not_there_is_told(world: World) -> None:
    secure = {"url": "https://{id}.localhost/"}
    assert "proxies" not in {finding.name for finding in world.findings()}
    world.settings = {"gateway": secure}
    assert 'trusted_proxies = ["www-data"]' in str(world.trouble()["proxies"].cure)
    world.settings = {"gateway": {**secure, "trusted_proxies": [ME, "no-such-proxy"]}}
    assert "there is no account no-such-proxy" in world.trouble()["proxies"].seen
    world.settings = {"gateway": {**secure, "trusted_proxies": [ME, "4033"]}}
    assert "proxies" not in world.trouble()
    world.settings = {"gateway": {**secure, "listen": "192.0.2.1:8421"}}
    assert "proxies" not in world.trouble()
