# SPDX-License-Identifier: Apache-2.0
"""An upgrade, while people work."""

from __future__ import annotations

from pathlib import Path

from tests.system.workstation import Workstation, build_package, eventually

NEWER = "99.0.0"


def test_an_upgrade_leaves_notebooks_and_configuration_as_they_are(workstation: Workstation, tmp_path: Path) -> None:
    newer = build_package(tmp_path, NEWER)
    notebook = workstation.run_notebook("alice", "working")
    before, old = workstation.container(notebook), workstation.main_pid("notebookd.service")
    workstation.root("sh", "-c", "echo '# mine' >>/etc/notebookd/notebookd.toml")

    workstation.install(newer)

    assert workstation.ctl("alice", "--version").endswith(NEWER)
    assert workstation.main_pid("notebookd.service") not in {0, old}
    (started,) = workstation.journal("--lines=1", "--grep", " serves ", "_SYSTEMD_UNIT=notebookd.service")
    assert NEWER in started["MESSAGE"]
    assert before is not None
    assert workstation.container(notebook) == before
    assert workstation.state("alice", "working") == "RUNNING"
    status, page = workstation.fetch("alice", workstation.ctl("alice", "url", "working"))
    assert (status, "<title>JupyterLab" in page) == (200, True)
    assert "# mine" in workstation.root("cat", "/etc/notebookd/notebookd.toml")
    assert workstation.root("systemctl", "--failed", "--quiet") == ""


def test_an_upgrade_keeps_a_unit_disabled_that_the_admin_disabled(workstation: Workstation) -> None:
    workstation.root("systemctl", "disable", "--now", "notebookd-gateway.service")
    workstation.root("dpkg", "--install", "--force-downgrade", workstation.machine.put(workstation.package))
    assert workstation.root("systemctl", "is-enabled", "notebookd-gateway.service", check=False).strip() == "disabled"
    workstation.root("systemctl", "enable", "--now", "notebookd-gateway.service")
    eventually(lambda: workstation.main_pid("notebookd-gateway.service"), bool, what="the gateway")
    workstation.ctl("alice", "delete", "working", "--force", "--yes")
