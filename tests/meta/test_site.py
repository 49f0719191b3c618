# SPDX-License-Identifier: Apache-2.0
"""The documentation is a site. MkDocs is installed for this alone, and fails on a link that leads nowhere."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_site_is_built(tmp_path: Path) -> None:
    done = subprocess.run([ROOT / "docs" / "build", tmp_path / "site"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in ("index.html", "docs/operating.html", "docs/api.html", "docs/development.html"):
        assert (tmp_path / "site" / page).is_file()
