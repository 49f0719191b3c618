# SPDX-License-Identifier: Apache-2.0
"""Programs inside a notebook that want to know when it stops, and take their time."""

from __future__ import annotations

import time
from pathlib import Path

from tests.engine.live import Machine, eventually

SECONDS = 6
TREE = """
import os, signal, subprocess, sys, time
from pathlib import Path
level, seconds, name = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
def leave(*_):
    Path(f"{name}{level}.told").touch()
    time.sleep(seconds)
    Path(f"{name}{level}.done").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
if level < 3:
    subprocess.Popen([sys.executable, "tree.py", str(level + 1), sys.argv[2], name])
Path(f"{name}{level}.ready").touch()
while True:
    time.sleep(1)
"""
ORPHANS = """
import os, sys, time
for _ in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            time.sleep(0.01)
        os._exit(0)
    os.waitpid(child, 0)
"""
LEVELS = (1, 2, 3)


def plant(live: Machine, notebook: str, name: str = "tree", *, prefix: str = "setsid") -> None:
    """Start a tree of processes of three levels, each of which handles SIGTERM for some seconds."""
    live.execute(notebook, "python3", "-c", f"open('/workspace/tree.py', 'w').write({TREE!r})")
    line = f"cd /workspace; {prefix} python3 tree.py 1 {SECONDS} {name} >/dev/null 2>&1 </dev/null &"
    live.execute(notebook, "sh", "-c", line)
    await_marks(live, notebook, name, "ready")


def await_marks(live: Machine, notebook: str, name: str, mark: str) -> None:
    """Until each level has left its mark."""
    eventually(lambda: marks(live, notebook, name, mark), lambda seen: seen == list(LEVELS), within_s=20, what=mark)


def marks(live: Machine, notebook: str, name: str, mark: str) -> list[int]:
    """The levels that left it."""
    folder = live.workspace(notebook)
    return [level for level in LEVELS if Path(folder, f"{name}{level}.{mark}").exists()]


def sees_everybody_off(live: Machine, notebook: str) -> None:
    """A stop tells all three levels, lets them finish, and takes no longer than that."""
    plant(live, notebook)
    begun = time.monotonic()
    live.stop(notebook)
    took_s = time.monotonic() - begun
    assert marks(live, notebook, "tree", "told") == list(LEVELS)
    assert marks(live, notebook, "tree", "done") == list(LEVELS)
    assert SECONDS <= took_s < SECONDS + 15


def zombies(pid: int) -> list[str]:
    """The dead whom nobody collected, in the pid namespace of that process or below it."""
    states = (path.read_text().rpartition(") ")[2].split()[:2] for path in _stats())
    return [state for state, parent in states if state == "Z" and parent == str(pid)]


def _stats() -> list[Path]:
    return [path / "stat" for path in Path("/proc").iterdir() if path.name.isdecimal() and (path / "stat").exists()]
