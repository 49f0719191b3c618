# SPDX-License-Identifier: Apache-2.0
"""An upgrade, while people work."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.system.workstation import CHECKOUT, Workstation, build_package, eventually

NEWER = "99.0.0"
DATABASE = "/var/lib/notebookd/notebookd.db"
MIGRATIONS = Path("notebookd", "adapters", "sqlite", "migrations")
NEWEST = len(list((CHECKOUT / MIGRATIONS).glob("*.sql")))
MIGRATION = """
CREATE TABLE of_tomorrow (notebook_id TEXT PRIMARY KEY) STRICT;
INSERT INTO of_tomorrow SELECT id FROM notebook;
"""


def _of_tomorrow(folder: Path) -> Path:
    """A package of a higher version, whose database has another shape."""
    source = folder / "source"
    shutil.copytree(CHECKOUT, source, ignore=shutil.ignore_patterns(".*", "__pycache__", "dist", "tests", "shared"))
    (source / MIGRATIONS / f"{NEWEST + 1:04d}_of_tomorrow.sql").write_text(MIGRATION)
    return build_package(folder, NEWER, source=source)


def _read(workstation: Workstation, database: str, query: str) -> list[str]:
    """The first column of what a query of a database gives."""
    script = "import sqlite3, sys; [print(row[0]) for row in sqlite3.connect(sys.argv[1]).execute(sys.argv[2])]"
    return workstation.root("runuser", "-u", "notebookd", "--", "python3", "-c", script, database, query).split()


def test_an_upgrade_leaves_notebooks_and_configuration_as_they_are(workstation: Workstation, tmp_path: Path) -> None:
    newer = _of_tomorrow(tmp_path)
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

    assert notebook in _read(workstation, DATABASE, "SELECT notebook_id FROM of_tomorrow")
    assert _read(workstation, DATABASE, "PRAGMA user_version") == [str(NEWEST + 1)]
    assert notebook in _read(workstation, _copy(workstation), "SELECT id FROM notebook")
    assert _read(workstation, _copy(workstation), "PRAGMA user_version") == [str(NEWEST)]


def _copy(workstation: Workstation) -> str:
    """The one that the upgrade left beside the database; nobody but the service may read it."""
    found = workstation.root("find", "/var/lib/notebookd", "-name", "notebookd.db.v*", "-printf", "%M %u %p\n")
    match = re.fullmatch(rf"-rw------- notebookd ({DATABASE}\.v{NEWEST}-\d{{8}}T\d{{6}})\n", found)
    assert match is not None, found
    return match[1]


def test_an_older_notebookd_refuses_the_newer_database_until_the_copy_is_back(workstation: Workstation) -> None:
    before = workstation.container(str(workstation.notebook("alice", "working")["id"]))
    workstation.root("dpkg", "--install", "--force-downgrade", workstation.machine.put(workstation.package))
    eventually(
        lambda: workstation.journal("--lines=3", "_SYSTEMD_UNIT=notebookd.service"),
        lambda entries: any(f"written by a newer notebookd (schema {NEWEST + 1}" in e["MESSAGE"] for e in entries),
        what="a refusal",
    )
    workstation.root("systemctl", "stop", "notebookd.socket", "notebookd.service")
    workstation.root("notebookd", "restore", _copy(workstation))
    workstation.root("systemctl", "start", "notebookd.socket", "notebookd.service")
    assert workstation.state("alice", "working") == "RUNNING"
    assert before is not None
    assert workstation.container(str(workstation.notebook("alice", "working")["id"])) == before


def test_an_upgrade_keeps_a_unit_disabled_that_the_admin_disabled(workstation: Workstation) -> None:
    workstation.root("systemctl", "disable", "--now", "notebookd-gateway.service")
    workstation.root("dpkg", "--install", "--force-downgrade", workstation.machine.put(workstation.package))
    assert workstation.root("systemctl", "is-enabled", "notebookd-gateway.service", check=False).strip() == "disabled"
    workstation.root("systemctl", "enable", "--now", "notebookd-gateway.service")
    eventually(lambda: workstation.main_pid("notebookd-gateway.service"), bool, what="the gateway")
    workstation.ctl("alice", "delete", "working", "--force", "--yes")
