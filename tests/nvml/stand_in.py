# SPDX-License-Identifier: Apache-2.0
"""The stand-in library under a test, and the world file that it reads at every call."""

from __future__ import annotations

import _ctypes
import ctypes
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
LIBRARY = "libnvidia-ml.so.1"


class World:
    r"""What the pretended driver and its GPUs are like: lines, edited live. contrib/nvml-stand-in.md has the words.

    A byte that is not UTF-8 is written as Python has it in file names: ``\udcf8`` for 0xf8."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: list[str] = []

    def write(self, *lines: str) -> None:
        """These lines and no other."""
        self._lines = list(lines)
        self._save()

    def add(self, *lines: str) -> None:
        """These as well."""
        self._lines += lines
        self._save()

    def drop(self, start: str) -> None:
        """No line that begins so."""
        self._lines = [line for line in self._lines if not line.startswith(start)]
        self._save()

    def vanish(self) -> None:
        """The file is gone: the driver is not loaded."""
        self.path.unlink()

    def _save(self) -> None:
        new = self.path.with_name(f"{self.path.name}.new")
        new.write_bytes("".join(f"{line}\n" for line in self._lines).encode(errors="surrogateescape"))
        new.replace(self.path)


def build(into: Path = HERE / "build", version: str = "") -> Path:
    """Build the library if need be; its path."""
    into.mkdir(parents=True, exist_ok=True)
    one_at_a_time = ["flock", str(into)]
    make = ["make", "--silent", "-C", str(HERE), f"INTO={into}", f"VERSION={version}"]
    subprocess.run([*one_at_a_time, *make], check=True, timeout=60)
    return into / LIBRARY


@contextmanager
def standing_in(folder: Path, *lines: str) -> Iterator[World]:
    """The stand-in in this process. The loader gives whoever asks for ``libnvidia-ml.so.1`` the library of that name
    which is mapped already, so that neither pynvml nor LD_LIBRARY_PATH need be touched."""
    mapped = ctypes.CDLL(str(build()))
    world = World(folder / "world")
    world.write(*lines)
    before = os.environ.get("NVML_WORLD")
    os.environ["NVML_WORLD"] = str(world.path)
    try:
        yield world
    finally:
        world.write()  # nothing hangs any longer
        for thread in threading.enumerate():
            if thread.name.startswith("nvml"):
                thread.join(10)
                assert not thread.is_alive(), f"{thread.name} is still in the library"
        if before is None:
            del os.environ["NVML_WORLD"]
        else:
            os.environ["NVML_WORLD"] = before
        _ctypes.dlclose(mapped._handle)
