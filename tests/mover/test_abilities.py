# SPDX-License-Identifier: Apache-2.0
"""What is known of remotes is what rclone itself says of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from notebookd.mover.abilities import known_abilities
from notebookd.mover.job import Job
from notebookd.mover.rclone import Rclone
from notebookd.mover.report import Reporter
from tests.mover.lab import Lab


def rclone_of(lab: Lab) -> Rclone:
    job = Job(task="pull", fields={"remote": lab.remote, "path": lab.path}, places=lab.places)
    return Rclone(job, Reporter(lab.places.job, ()))


def test_what_is_known_is_what_rclone_says(any_lab: Lab) -> None:
    known = known_abilities(any_lab.places.secrets / "rclone.conf", any_lab.remote)
    assert (known is None) == (any_lab.remote == "disk")
    rclone = rclone_of(any_lab)
    told = replace(rclone.ask_abilities(), lookers=rclone.abilities().lookers)  # of which rclone says nothing
    assert known in {None, told}
    assert rclone.abilities() == told


@pytest.mark.parametrize(
    "config",
    [
        "[x]\ntype = webdav\nvendor = nextcloud\n",
        "[x]\ntype = crypt\nremote = s3:bucket\n",
        "[x]\n",
        "[y]\ntype = s3\n",
        "type = s3\n",
        "# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\nabc=\n",
        "\udcff",
    ],
    ids=["hashes", "wrapped", "no-type", "absent", "no-section", "encrypted", "not-text"],
)
def test_of_anything_else_rclone_is_asked(tmp_path: Path, config: str) -> None:
    path = tmp_path / "rclone.conf"
    path.write_text(config, errors="surrogateescape")
    assert known_abilities(path, "x") is None
    assert known_abilities(tmp_path / "absent", "x") is None
