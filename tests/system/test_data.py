# SPDX-License-Identifier: Apache-2.0
"""Data under the sandbox: folders that the service may not write to, credentials that it alone may read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.workstation import Workstation, eventually

CONFIG = "/etc/notebookd/notebookd.toml"
RCLONE = "/etc/notebookd/rclone.conf"
STORES = """
[[datastore]]
alias = "lab"
path = "/srv/lab"
write = ["*"]
[[datastore]]
alias = "home"
path = "/home/lab"
write = ["*"]
[[datastore]]
alias = "far"
type = "rclone"
remote = "far"
read = ["*"]
write = ["*"]
"""
SHOWN = "[Service]\nProtectHome=tmpfs\nBindReadOnlyPaths=/home/lab\n"
OVERRIDE = "/etc/systemd/system/notebookd.service.d/lab.conf"
VOLUMES = ("team@lab:/team:rw", "@home:/workspace/home:rw", "bucket@far:/data:rwd", "standalone:/scratch")
CELL = "echo notebook | tee /team/made /workspace/home/made /scratch/made; cp /data/there /data/new; rm /data/there"


@pytest.fixture
def stores(workstation: Workstation) -> Iterator[None]:
    """A folder in /srv, one in /home that the unit was told of, and a remote whose credentials are the service's."""
    root, before = workstation.root, workstation.root("cat", CONFIG)
    root("install", "-d", "-o", "notebookd", "/srv/lab", "/srv/lab/team", "/home/lab")
    root("install", "-d", "/srv/served/bucket")
    workstation.machine.run("tee", "/srv/served/bucket/there", text="far")
    serve = ("rclone", "serve", "webdav", "--addr", "127.0.0.1:8099", "--dir-cache-time", "0", "/srv/served")
    root("systemd-run", "--unit=far", *serve)
    workstation.machine.run("tee", RCLONE, text="[far]\ntype = webdav\nurl = http://127.0.0.1:8099\nvendor = other\n")
    root("chown", "root:notebookd-svc", RCLONE)
    root("chmod", "0640", RCLONE)
    root("install", "-d", OVERRIDE.rpartition("/")[0])
    workstation.machine.run("tee", OVERRIDE, text=SHOWN)
    workstation.machine.run("tee", CONFIG, text=before + STORES)
    root("systemctl", "daemon-reload")
    root("systemctl", "restart", "notebookd.service")
    yield
    workstation.ctl("alice", "delete", "data", "--force", "--yes")
    workstation.machine.run("tee", CONFIG, text=before)
    root("rm", "-r", OVERRIDE.rpartition("/")[0], RCLONE)
    root("systemctl", "stop", "far.service")
    root("systemctl", "daemon-reload")
    root("systemctl", "restart", "notebookd.service")


def test_data_comes_in_and_goes_out_and_a_swapped_folder_is_not_followed(
    workstation: Workstation, stores: None
) -> None:
    words = [word for volume in VOLUMES for word in ("--volume", volume)]
    workstation.ctl("alice", "run", "conda", "jupyterlab", "--cpu", "1", "--name", "data", *words, "--wait")
    workstation.ctl("alice", "exec", "data", "--", "sh", "-c", CELL)
    workstation.ctl("alice", "restart", "data", "--wait")
    workstation.ctl("alice", "stop", "data", "--wait")
    assert workstation.state("alice", "data") == "STOPPED"
    assert workstation.root("cat", "/srv/lab/team/made", "/home/lab/made") == "notebook\n" * 2
    assert workstation.root("ls", "/srv/served/bucket").split() == ["new"]
    assert workstation.attempt("mallory", "get", "data").returncode != 0
    assert workstation.machine.run("cat", RCLONE, user="alice", check=False).returncode != 0

    workstation.root("sh", "-c", "mv /srv/lab/team /srv/lab/away && ln -s /var/lib/notebookd /srv/lab/team")
    workstation.ctl("alice", "start", "data")
    eventually(lambda: workstation.state("alice", "data"), lambda state: state == "FAILED", what="the refusal")
    assert "cannot mount team@lab" in workstation.ctl("alice", "why", "data")
