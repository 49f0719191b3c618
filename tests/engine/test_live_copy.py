# SPDX-License-Identifier: Apache-2.0
"""``notebookctl cp`` between this machine and a real workspace that somebody hostile works in."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.engine.live import Machine, eventually

pytestmark = pytest.mark.engine

ODD = ("-rf", "with blank", "line\nbreak", "\N{SNOWMAN}", "trailing.")


def tree_of(folder: Path) -> dict[str, bytes | str]:
    """What is in a folder, by path: contents of files, targets of links."""
    return {
        str(each.relative_to(folder)): str(each.readlink()) if each.is_symlink() else each.read_bytes()
        for each in folder.rglob("*")
        if each.is_symlink() or each.is_file()
    }


def test_a_tree_with_odd_names_goes_in_and_comes_back_the_same(live: Machine, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in ODD:
        (tree / name).mkdir(parents=True)
        (tree / name / name).write_bytes(os.urandom(70_000))
    (tree / "link").symlink_to("-rf/-rf")
    (tree / "empty").touch(mode=0o755)
    notebook = live.run()
    assert live.ctl("cp", str(tree), f"{notebook}:in/").returncode == 0
    assert live.execute(notebook, "stat", "-c", "%a", "/workspace/in/empty").strip() == "755"
    live.stop(notebook)
    assert live.ctl("cp", f"{notebook}:/workspace/in/.", str(tmp_path / "back")).returncode == 0
    assert tree_of(tmp_path / "back") == tree_of(tree)


def test_what_a_notebook_lays_out_leads_nowhere_else(live: Machine, tmp_path: Path) -> None:
    notebook = live.run()
    script = "mkdir t; cd t; mkfifo pipe; ln -s /etc/passwd out; ln -s ../../.. up; ln -s . here; echo x > file"
    live.execute(notebook, "sh", "-c", f"cd /workspace; {script}")
    assert live.ctl("cp", f"{notebook}:t", str(tmp_path / "t")).returncode == 0
    assert tree_of(tmp_path / "t") == {"file": b"x\n", "here": "."}
    refused = live.ctl("cp", f"{notebook}:t/up/etc/passwd", str(tmp_path / "p"))
    assert refused.returncode == 1
    assert not (tmp_path / "p").exists()
    inward = live.ctl("cp", str(tmp_path / "t" / "file"), f"{notebook}:t/out/x")
    assert inward.returncode == 1


def test_what_is_removed_is_gone_and_nothing_else(live: Machine, tmp_path: Path) -> None:
    notebook = live.run()
    script = (
        "mkdir -p t/deep/er keep; ln -s ../keep t/out; echo x > keep/file; echo x > t/deep/er/file; chmod 500 t/deep"
    )
    live.execute(notebook, "sh", "-c", f"cd /workspace; {script}; echo x > file")
    assert live.ctl("rm", f"{notebook}:t/out/file").returncode == 1
    done = live.ctl("rm", f"{notebook}:/workspace/t", f"{notebook}:file")
    assert done.returncode == 0, done.stderr
    assert live.execute(notebook, "sh", "-c", "cd /workspace; ls -d t file keep/file 2>/dev/null; true").split() == [
        "keep/file"
    ]
    live.stop(notebook)
    assert live.ctl("rm", f"{notebook}:keep").returncode == 0
    assert live.ctl("rm", f"{notebook}:keep").returncode == 1


def test_who_leaves_half_way_leaves_nothing_behind(live: Machine, tmp_path: Path) -> None:
    notebook = live.run()
    live.execute(notebook, "sh", "-c", "head -c 300000000 /dev/zero > /workspace/large")
    with subprocess.Popen(
        ["notebookctl", "cp", f"{notebook}:large", "-"], stdout=subprocess.PIPE, env=dict(live.environment)
    ) as reader:
        assert reader.stdout is not None
        assert len(reader.stdout.read(1000)) == 1000
        reader.kill()
    with subprocess.Popen(
        ["notebookctl", "cp", "-", f"{notebook}:half"], stdin=subprocess.PIPE, env=dict(live.environment)
    ) as writer:
        assert writer.stdin is not None
        large = tmp_path / "large"
        large.write_bytes(bytes(5_000_000))
        packed = subprocess.run(["tar", "c", "-C", str(tmp_path), "large"], capture_output=True, check=True).stdout
        writer.stdin.write(packed[:2_000_000])
        writer.stdin.flush()
        writer.kill()
    eventually(lambda: live.containers()[notebook], lambda found: len(found) == 1, what="a notebook without movers")
    assert live.ctl("exec", notebook, "--", "test", "-e", "/workspace/half/large").returncode == 1
