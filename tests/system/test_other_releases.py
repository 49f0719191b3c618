# SPDX-License-Identifier: Apache-2.0
"""Newer releases of the distribution, as a whole: the package is built and installed there, and the engine tier runs on
their Podman, crun, systemd and Python. Each is a booted machine with the host's network, which installs what it needs.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.figures import Rows
from tests.machine.machine import Machine, Unable, booted

CHECKOUT = Path(__file__).resolve().parents[2]
THERE = "/var/checkout"
HOUR = 3600.0
# A suite may be named that this machine's mmdebstrap can make: NOTEBOOKD_SUITES="trixie noble"
SUITES = os.environ.get("NOTEBOOKD_SUITES", "trixie").split()

pytestmark = [pytest.mark.long, pytest.mark.timeout(2 * HOUR)]


@pytest.fixture(params=SUITES)
def release(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine of that release with this checkout in it."""
    try:
        with booted(request.param, online=True) as machine:
            machine.run("mkdir", THERE)
            files = subprocess.run(
                ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                cwd=CHECKOUT,
                capture_output=True,
                check=True,
            )
            with subprocess.Popen(
                ["tar", "--null", "--files-from=-", "-cf", "-"],
                cwd=CHECKOUT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            ) as packed:
                unpack = subprocess.Popen(machine.command("tar", "-C", THERE, "-xf", "-"), stdin=packed.stdout)
                assert packed.stdin is not None
                packed.stdin.write(files.stdout)
                packed.stdin.close()
                assert unpack.wait() == 0
            machine.run(
                "sh",
                "-c",
                f"apt-get update -q && apt-get install -q -y make python3-venv git && git -C {THERE} init -q",
                timeout_s=300,
            )
            yield machine
    except Unable as reason:
        pytest.skip(str(reason))


def test_the_package_is_built_installed_and_works_there(release: Machine) -> None:
    built = release.run(
        "sh", "-c", f"cd {THERE} && packaging/build --output /var/package", timeout_s=900
    ).stdout.strip()
    release.run("useradd", "--create-home", "--shell", "/bin/bash", "alice")
    release.run("apt-get", "install", "--yes", built, timeout_s=600)
    release.run("usermod", "--append", "--groups", "notebookd", "alice")
    units = ("notebookd.service", "notebookd-gateway.socket", "notebookd.socket")
    release.run("systemctl", "is-active", "--quiet", *units)
    image = "localhost/notebookd/jupyterlab:1"
    save = f'podman --url "unix://$NOTEBOOKD_ENGINE" save --output /var/image.tar {image}'
    release.run("sh", "-c", f"cd {THERE} && contrib/quickstart --engine-only -- sh -c '{save}'", timeout_s=900)
    release.run("notebookd-engine", "podman", "load", "--quiet", "--input", "/var/image.tar", timeout_s=300)
    url = release.run(
        "notebookctl",
        "run",
        "conda",
        "jupyterlab",
        "--cpu",
        "1",
        "--name",
        "mine",
        "--wait",
        user="alice",
        timeout_s=180,
    ).stdout.strip()
    assert url.splitlines()[-1].startswith("http://")
    said = release.run("notebookctl", "exec", "mine", "--", "sh", "-c", "echo $((6 * 7))", user="alice", timeout_s=60)
    assert said.stdout.strip() == "42"
    release.run("notebookctl", "stop", "mine", "--wait", user="alice", timeout_s=120)
    release.run("notebookctl", "delete", "mine", "--yes", user="alice", timeout_s=120)


def test_the_engine_tier_passes_there(release: Machine, figures: dict[str, Rows]) -> None:
    done = release.run(
        "sh", "-c", f"cd {THERE} && tests/run tests/engine tests/contract", check=False, timeout_s=2 * HOUR
    )
    last = done.stdout.strip().splitlines()[-1]
    programs = release.run("sh", "-c", "podman --version; crun --version | head -n 1; python3 --version").stdout
    figures.setdefault("other releases", {})[", ".join(programs.splitlines())] = last
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
