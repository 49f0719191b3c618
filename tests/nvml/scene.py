# SPDX-License-Identifier: Apache-2.0
"""A program that plays steps given as arguments and prints what came of those that ask, as JSON.

``driver V`` and ``library V`` install version V beside it, as an upgrade does; ``poll`` and ``release`` ask;
``mapped`` says which library is in this process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from notebookd.adapters.clock import SystemClock
from notebookd.adapters.nvml import NvmlGpus
from notebookd.errors import GpusUnavailable

LIBRARY = "libnvidia-ml.so.1"


async def play(folder: Path, steps: list[str]) -> list[str]:
    said = []
    async with NvmlGpus.open(SystemClock()) as gpus:
        for step in steps:
            verb, _, version = step.partition(" ")
            match verb:
                case "driver":
                    (folder / "world").write_text(f"driver {version}\ngpu 0\n")
                case "library":
                    (folder / "new").symlink_to(f"libraries/{version}/{LIBRARY}")
                    (folder / "new").replace(folder / LIBRARY)
                case "mapped":
                    said.append(mapped())
                case "release":
                    await gpus.release()
                    said.append(await poll(gpus))
                case _:
                    said.append(await poll(gpus))
    return said


async def poll(gpus: NvmlGpus) -> str:
    try:
        return f"{len(await gpus.sample())} GPUs"
    except GpusUnavailable as fault:
        return str(fault.details["trouble"])


def mapped() -> str:
    lines = [line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(LIBRARY)]
    return Path(lines[0].split()[-1]).parent.name if lines else "none"


if __name__ == "__main__":
    print(json.dumps(asyncio.run(play(Path(os.environ["LD_LIBRARY_PATH"]), sys.argv[1:]))))
