# SPDX-License-Identifier: Apache-2.0
"""Whether a container's init could run its program, as its log tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from notebookd.adapters.podman.beginning import may_not_have_begun, why_not_begun

WHOLE = "2026-12-01T05:06:01.096435066+00:00 stderr F ERROR (catatonit:2): failed to exec pid1: Permission denied\n"
PIECES = (
    "2026-12-01T05:06:01.096435066+00:00 stderr P ERROR (catatonit:2): \n"
    "2026-12-01T05:06:01.096435067+00:00 stderr F failed to exec pid1: Permission denied\n"
)


def container(log: Path, *, init: bool = True, code: int = 1) -> dict[str, Any]:
    return {
        "State": {"ExitCode": code},
        "Config": {"Entrypoint": "/usr/bin/editor"},
        "HostConfig": {"Init": init, "LogConfig": {"Path": str(log)}},
    }


@pytest.mark.parametrize("text", [WHOLE, PIECES], ids=["whole", "in pieces"])
def test_an_init_that_could_not_run_the_program_says_so(tmp_path: Path, text: str) -> None:
    log = tmp_path / "ctr.log"
    log.write_text(text)
    assert why_not_begun(container(log)) == "cannot run /usr/bin/editor: Permission denied"


@pytest.mark.parametrize("text", ["", "2026-12-01T05:06:01.0+00:00 stdout F ERROR: no such thing\n", None])
def test_a_program_that_failed_by_itself_did_begin(tmp_path: Path, text: str | None) -> None:
    log = tmp_path / "ctr.log"
    if text is not None:
        log.write_text(text)
    assert why_not_begun(container(log)) is None


def test_only_an_init_that_ended_with_status_1_is_asked(tmp_path: Path) -> None:
    assert may_not_have_begun(container(tmp_path))
    assert not may_not_have_begun(container(tmp_path, init=False))
    assert not may_not_have_begun(container(tmp_path, code=3))
