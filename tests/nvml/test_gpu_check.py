# SPDX-License-Identifier: Apache-2.0
"""contrib/gpu-check works, so that minutes on a machine with a GPU are not spent on the script."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.nvml.gpu_check import ROOT, STEPS
from tests.nvml.stand_in import build

SCRIPT = ROOT / "contrib/gpu-check"


def test_it_passes_on_the_stand_in_and_names_what_it_did(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NVML_WORLD"}
    command = [SCRIPT, "--stand-in", "--listen", "5", "--poll", "1"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("==")] == [f"== {title}" for title in STEPS]
    for fact in ("6 passed", "GPU-00000000-0000-0000-0000-000000000001", "heard in 5 s: Xid 31", "MIG mode [0, 0]"):
        assert fact in done.stdout
    assert f"gpu-check: {len(STEPS)} of {len(STEPS)} passed" in done.stdout


def test_without_a_driver_it_says_why_and_fails(tmp_path: Path) -> None:
    environment = {**os.environ, "NVML_WORLD": str(tmp_path / "absent"), "LD_LIBRARY_PATH": str(build().parent)}
    command = [SCRIPT, "--stand-in", "--only", "release"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 1
    assert "FAILED: cannot ask the GPU driver: the kernel module is not loaded" in done.stdout
