# SPDX-License-Identifier: Apache-2.0
"""``notebookctl config``: what is shown, and that checking is the daemon program's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from notebookd import wire

SHOWN = wire.encode(
    wire.ConfigShown(
        file="/etc/notebookd/notebookd.toml",
        items=[
            wire.ConfigSetting(key="gpus.driver", value="nvml", source="default"),
            wire.ConfigSetting(key="lifecycle.warn_before", value=["24h", "1h"], source="default"),
            wire.ConfigSetting(key="lifecycle.start_after_boot", value=True, source="file"),
            wire.ConfigSetting(key="quota.user.alice", value={"gpus": 2}, source="file"),
            wire.ConfigSetting(key="gpus.ignore_processes", value=["Xorg", "x" * 70], source="file"),
            wire.ConfigSetting(key="image[0]", value={"editor": "jupyterlab", "command": ["serve"]}, source="file"),
        ],
    )
)


def run_program(*words, path):
    code = "from notebookd.cli.main import main; main()"
    environment = {**os.environ, "PATH": str(path)}
    environment.pop("NOTEBOOKD_CONFIG", None)
    return subprocess.run(
        [sys.executable, "-c", code, "--socket", "/nowhere", *words],
        capture_output=True,
        env=environment,
        check=False,
        text=True,
        timeout=60,
    )


@pytest.fixture
def real_notebookd(tmp_path):
    """The real program, by a name on a path."""
    program = tmp_path / "notebookd"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(Path.cwd())!r})\n"
        "from notebookd.daemon import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(("output", "file"), [("table", "config.txt"), ("csv", "config.csv")])
def test_what_is_in_force_is_shown(notebookctl, toy, golden, output, file):
    toy.on("GET /v1/config", SHOWN)
    result = notebookctl("config", "show", "-o", output)
    assert result.exit_code == 0
    golden(file, result.stdout)


def test_json_is_the_daemons_answer(notebookctl, toy):
    toy.on("GET /v1/config", SHOWN)
    assert notebookctl("config", "show", "-o", "json").stdout_bytes == SHOWN + b"\n"


def test_showing_needs_the_daemon(notebookctl, tmp_path):
    assert notebookctl("--socket", str(tmp_path / "none"), "config", "show").exit_code == 3


def test_checking_does_not_and_says_every_fault_with_file_key_and_hint(real_notebookd, tmp_path):
    file = tmp_path / "its.toml"
    file.write_text('[gpus]\ndriver = "nvlm"\n[lifecycle]\nmax_runing = "7d"\nstop_grace = 30\n')
    done = run_program("config", "check", str(file), path=real_notebookd)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == (
        f"{file}: gpus.driver: 'nvlm' is unknown\n  hint: did you mean 'nvml'?\n"
        f"{file}: lifecycle.stop_grace: must be text, not a whole number\n"
        f"{file}: lifecycle.max_runing: is not a known key\n  hint: did you mean 'max_running'?\n"
        "3 faults: notebookd does not start with it\n"
    )
    report = json.loads(run_program("config", "check", "-o", "json", str(file), path=real_notebookd).stdout)
    assert report["ok"] is False
    assert [fault["key"] for fault in report["faults"]] == [
        "gpus.driver",
        "lifecycle.stop_grace",
        "lifecycle.max_runing",
    ]


def test_a_good_file_is_good_and_json_says_what_would_hold(real_notebookd, tmp_path):
    file = tmp_path / "-its.toml"
    file.write_text('[lifecycle]\nmax_running = "2d"\n')
    done = run_program("config", "check", str(file), path=real_notebookd)
    assert (done.returncode, done.stdout) == (0, f"{file}: 1 key, no fault\n")
    report = json.loads(run_program("config", "check", "-o", "json", str(file), path=real_notebookd).stdout)
    held = {each["key"]: (each["value"], each["source"]) for each in report["items"]}
    assert held["lifecycle.max_running"] == ("2d", "file")
    assert held["lifecycle.stop_grace"] == ("30s", "default")


@pytest.mark.parametrize("text", ["[gpus\n", "\xff", None])
def test_a_file_that_cannot_be_read_is_a_fault_too(real_notebookd, tmp_path, text):
    file = tmp_path / "its.toml"
    if text is not None:
        file.write_bytes(text.encode("latin-1"))
    done = run_program("config", "check", str(file), path=real_notebookd)
    assert done.returncode == 1
    assert done.stdout.startswith(f"{file}: ")
    assert "Traceback" not in done.stderr
