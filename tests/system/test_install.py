# SPDX-License-Identifier: Apache-2.0
"""What an admin has after ``apt install ./notebookd_*.deb``."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.figures import Rows
from tests.system.workstation import PORT, Workstation, eventually

UNITS = (
    "notebookd.socket",
    "notebookd.service",
    "notebookd-gateway.socket",
    "notebookd-gateway-peers.socket",
    "notebookd-gateway.service",
    "notebookd-containers.service",
)
MOST_EXPOSURE = 2.0
CHROMIUM = Path("/usr/bin/chromium")


def test_everything_is_up_and_comes_up_at_boot(workstation: Workstation) -> None:
    for unit in UNITS:
        assert workstation.root("systemctl", "is-active", unit).strip() == "active", unit
        assert workstation.root("systemctl", "is-enabled", unit).strip() == "enabled", unit
    assert workstation.root("systemctl", "--failed", "--quiet") == ""
    engine = workstation.show("notebookd-engine.service", "ActiveState", "--user", "--machine=notebookd@")
    assert engine == "active"


def test_the_units_are_well_formed(workstation: Workstation) -> None:
    paths = [f"/usr/lib/systemd/system/{unit}" for unit in UNITS]
    done = workstation.machine.run("systemd-analyze", "verify", *paths, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("unit", ["notebookd.service", "notebookd-gateway.service"])
def test_services_are_shut_in(workstation: Workstation, unit: str, figures: dict[str, Rows]) -> None:
    line = workstation.root("systemd-analyze", "security", "--no-pager", unit).strip().splitlines()[-1]
    figure = re.search(r"exposure level for [\w.-]+: ([0-9.]+)", line)
    assert figure is not None, line
    figures.setdefault("systemd-analyze security", {})[unit] = figure[1]
    assert float(figure[1]) <= MOST_EXPOSURE


@pytest.mark.parametrize("unit", ["notebookd.service", "notebookd-gateway.service"])
def test_a_services_memory_is_bounded_and_it_comes_back(workstation: Workstation, unit: str) -> None:
    """The kernel here has no controller of memory, so its bound is said and not tried. What it does at the bound is."""
    shown = {name: workstation.show(unit, name) for name in ("MemoryMax", "MemorySwapMax", "OOMPolicy")}
    assert shown == {"MemoryMax": str(2 * 2**30), "MemorySwapMax": "0", "OOMPolicy": "stop"}
    for _ in range(3):
        killed = workstation.main_pid(unit)
        workstation.root("kill", "-KILL", str(killed))
        eventually(
            lambda: (workstation.main_pid(unit), workstation.show(unit, "ActiveState")),
            lambda seen, killed=killed: seen[0] not in {0, killed} and seen[1] == "active",
            within_s=20,
            what=f"{unit} to be back",
        )
    workstation.ctl("alice", "list")
    status, _ = workstation.fetch("alice", f"http://localhost:{PORT}/")
    assert 200 <= status < 500, "it answers"


def test_the_status_says_what_goes_on(workstation: Workstation) -> None:
    assert re.fullmatch(
        r"\d+ running, \d+ waiting, 0/0 GPUs leased", workstation.show("notebookd.service", "StatusText")
    )


def test_a_member_runs_a_notebook_and_opens_it(workstation: Workstation) -> None:
    workstation.run_notebook("alice", "first")
    url = workstation.ctl("alice", "url", "first")
    assert url.startswith(f"http://{workstation.notebook('alice', 'first')['id']}.localhost:{PORT}/?token=")
    for loopback in ("127.0.0.1", "[::1]"):
        host = url.split("/")[2].partition(":")[0]
        status, page = workstation.fetch("alice", url, "--resolve", f"{host}:{PORT}:{loopback}")
        assert (status, "<title>JupyterLab" in page) == (200, True), page[:500]
    assert workstation.fetch("mallory", url.partition("?")[0])[0] in {401, 403}


@pytest.mark.skipif(not CHROMIUM.exists(), reason="not installed: chromium")
def test_a_browser_shows_what_it_can_start(workstation: Workstation, tmp_path: Path) -> None:
    """The host's browser, on the machine's network: the machine has none."""
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server", f"--user-data-dir={tmp_path}")
    page = ("--virtual-time-budget=12000", "--timeout=30000", "--dump-dom", workstation.ctl("alice", "url", "first"))
    browser = workstation.machine.beside(str(CHROMIUM), *options, *page)
    shown = subprocess.run(browser, capture_output=True, text=True, timeout=90, check=False).stdout
    assert "jp-LauncherCard" in shown
    assert "Python 3 (ipykernel)" in shown
    workstation.ctl("alice", "stop", "first", "--wait")


def test_a_container_has_a_cgroup_of_its_own(workstation: Workstation) -> None:
    notebook = workstation.run_notebook("alice", "own")
    container = workstation.container(notebook)
    assert container is not None
    cgroup = workstation.root("cat", f"/proc/{container.pid}/cgroup")
    assert f"/libpod-{container.id}.scope" in cgroup
    assert "notebookd-engine.service" not in cgroup
    workstation.ctl("alice", "delete", "own", "--force", "--yes")


def test_what_happened_can_be_found_in_the_journal(workstation: Workstation) -> None:
    notebook = workstation.notebook("alice", "first")["id"]
    entries = workstation.journal("EVENT=notebook.state", f"NOTEBOOK_ID={notebook}")
    assert {entry["ACTOR"] for entry in entries} >= {"alice"}
    assert {entry["OWNER"] for entry in entries} == {"alice"}
    assert any("RUNNING" in entry["MESSAGE"] for entry in entries)


def test_the_doctor_finds_nothing_that_the_package_should_have_seen_to(workstation: Workstation) -> None:
    findings = json.loads(workstation.machine.run("notebookd", "doctor", "--json", check=False).stdout)["findings"]
    # No GPU here and no network; controllers, kernel and clock are the host's.
    hosts = {"gpus", "cdi", "cgroups", "limits", "clock"}
    ill = {each["name"] for each in findings if each["status"] != "ok"} - hosts
    assert not ill, [each for each in findings if each["name"] in ill]


def test_nobody_else_can_have_the_port_while_the_gateway_is_down(workstation: Workstation) -> None:
    workstation.root("systemctl", "stop", "notebookd-gateway.service")
    try:
        for address in ("127.0.0.1", "::1"):
            family = "AF_INET6" if ":" in address else "AF_INET"
            script = f"import socket; socket.socket(socket.{family}).bind(('{address}', {PORT}))"
            done = workstation.machine.run("python3", "-c", script, user="mallory", check=False)
            assert "Address already in use" in done.stderr
    finally:
        workstation.root("systemctl", "start", "notebookd-gateway.service")


def test_the_kernels_limits_are_raised_unless_the_admin_says_otherwise(workstation: Workstation) -> None:
    # Said, and not set: the kernel is the host's, so this machine's own file, which wins by its name, says nothing.
    said = workstation.root("cat", "/usr/lib/sysctl.d/60-notebookd.conf")
    assert "fs.inotify.max_user_instances = 8192" in said
    assert "max_user_instances" not in workstation.root("/lib/systemd/systemd-sysctl", "--cat-config", "--no-pager")


def test_manuals_and_completions_are_there(workstation: Workstation) -> None:
    for page in ("notebookctl", "notebookctl-run", "notebookd", "notebookd-gateway"):
        done = workstation.machine.run("man", "--warnings", page)
        assert (page.upper() in done.stdout, done.stderr) == (True, "")
    completions = "/usr/share/bash-completion/completions/notebookctl"
    words = "COMP_WORDS='notebookctl st' COMP_CWORD=1 _NOTEBOOKCTL_COMPLETE=bash_complete notebookctl"
    said = workstation.root("bash", "-c", f"source {completions} && complete -p notebookctl && {words}")
    assert "plain,start" in said


def test_the_systems_python_has_the_client_and_no_more_of_ours(workstation: Workstation) -> None:
    script = "from notebookd.client import Client; print(Client().me().value.name)"
    for python in ("python3", "/usr/bin/python3"):
        assert workstation.machine.run(python, "-c", script, user="alice").stdout.strip() == "alice"
    for module in ("aiohttp", "notebookd.cli", "notebookd.daemon"):
        done = workstation.machine.run("python3", "-c", f"import {module}", user="alice", check=False)
        assert "ModuleNotFoundError" in done.stderr, module
    wheels = workstation.root("ls", "/usr/share/notebookd/wheels").split()
    assert [name.partition("-")[0] for name in wheels] == ["notebookctl", "notebookd_client"]


def test_the_folders_of_editors_are_bounded(workstation: Workstation) -> None:
    """Notebooks write there: what lies beside it has room whatever they do."""
    root = workstation.root
    assert workstation.show("run-notebookd-editors.mount", "ActiveState") == "active"
    options = root("findmnt", "--noheadings", "--output", "OPTIONS", "/run/notebookd/editors").strip().split(",")
    assert {"size=16384k", "nr_inodes=65536", "nosuid", "nodev", "noexec"} <= set(options)
    seen = root("stat", "--format", "%a %U %G", "/run/notebookd/editors").strip()
    assert seen == "2750 notebookd notebookd-gateway"
