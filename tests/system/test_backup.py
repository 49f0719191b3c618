# SPDX-License-Identifier: Apache-2.0
"""A backup while people work, and its return."""

from __future__ import annotations

from tests.system.workstation import Workstation

BACKUP = "/root/notebookd.db"
UNITS = ("notebookd.socket", "notebookd.service")


def test_a_running_notebook_goes_on_over_a_backup_and_its_restore(workstation: Workstation) -> None:
    notebook = workstation.run_notebook("alice", "kept")
    before, token = workstation.container(notebook), workstation.token("alice", "kept")
    workstation.root("notebookctl", "backup", BACKUP)
    assert workstation.root("stat", "--format=%a %U", BACKUP).strip() == "600 root"
    assert workstation.attempt("alice", "backup", "/tmp/not-hers.db").returncode != 0
    workstation.ctl("alice", "label", "kept", "since=the-backup")

    early = workstation.machine.run("notebookd", "restore", BACKUP, check=False)
    assert early.returncode == 1
    assert "hint:" in early.stderr
    workstation.root("systemctl", "stop", *UNITS)
    workstation.root("notebookd", "restore", BACKUP)
    workstation.root("systemctl", "start", *UNITS)

    assert workstation.state("alice", "kept") == "RUNNING"
    assert "since" not in workstation.notebook("alice", "kept")["spec"].get("labels", {})
    assert before is not None
    assert workstation.container(notebook) == before
    assert workstation.token("alice", "kept") == token
    status, page = workstation.fetch("alice", workstation.ctl("alice", "url", "kept"))
    assert (status, "<title>JupyterLab" in page) == (200, True)
    workstation.ctl("alice", "delete", "kept", "--force", "--yes")
    workstation.root("rm", BACKUP)
