# SPDX-License-Identifier: Apache-2.0
"""contrib/gpu-check: what the real driver answers to notebookd, in under five minutes and without an engine.

It changes nothing about the GPUs: it reads, waits for events, lets go of the driver and takes it again. The board is
that of a whole notebookd with its API and its CLI, on an engine that is pretended.
"""

from __future__ import annotations

import argparse
import asyncio
import grp
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pynvml

from notebookd.adapters.clock import SystemClock
from notebookd.adapters.nvml import NvmlGpus
from notebookd.adapters.processes import SystemProcesses
from notebookd.api.peers import PeerPolicy
from notebookd.errors import GpusUnavailable
from notebookd.testing.gpus import FakeGpus
from notebookd.testing.house import make_world, open_house, serve_api
from notebookd.testing.processes import FakeProcesses
from tests.nvml.stand_in import LIBRARY, build

ROOT = Path(__file__).parents[2]
POLLS_AN_HOUR = 720
"""At ``[gpus] poll = "5s"``, the default."""
_EVENT_TYPES = {
    "Xid": pynvml.nvmlEventTypeXidCriticalError,
    "double-bit ECC": pynvml.nvmlEventTypeDoubleBitEccError,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a run of it is: on the stand-in or the real driver, and for how many seconds it listens and polls."""

    stand_in: bool
    listen_s: float
    poll_s: float


class Failed(Exception):
    """Something that must hold does not."""


def require(holds: object, what: str) -> None:
    """Raise Failed unless it holds."""
    if not holds:
        raise Failed(what)


def say(text: str) -> None:
    """A line of the report."""
    print(f"  {text}", flush=True)


async def contract(check: Check) -> None:
    """The adapter's contract suite, and on the stand-in nothing else of it."""
    case = "stand_in" if check.stand_in else "hardware"
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-rs"]
    command += ["tests/contract/test_gpus_contract.py", "-k", case]
    environment = {name: value for name, value in os.environ.items() if name != "NVML_WORLD"}
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    for line in done.stdout.splitlines()[-12 if done.returncode else -1 :]:
        say(line)
    require(done.returncode == 0, f"pytest ended with status {done.returncode}")
    require("passed" in done.stdout, "no test ran")
    require("skipped" not in done.stdout, "tests were skipped")


async def board(check: Check) -> None:
    """``notebookctl gpu`` and what else shows the GPUs, through the API of a whole notebookd."""
    group = grp.getgrgid(os.getgid()).gr_name
    peers = PeerPolicy(member_group=group, admin_group=group, nobodies=frozenset())
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        async with NvmlGpus.open(SystemClock()) as gpus:
            world = replace(
                make_world(Path(folder) / "machine"),
                gpus=cast(FakeGpus, gpus),
                processes=cast(FakeProcesses, SystemProcesses()),
            )
            async with open_house(world) as house, serve_api(house, peers, Path(folder) / "api.sock") as socket:
                for words in ("gpu", "capabilities flavor list", "gpu release", "gpu", "gpu acquire", "gpu -o csv"):
                    await _notebookctl(socket, words)


async def _notebookctl(socket: Path, words: str) -> None:
    say(f"$ notebookctl {words}")
    program = [sys.executable, "-c", "from notebookd.cli.main import main; main()"]
    command = [*program, "--socket", str(socket), *words.split()]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    for line in said.decode(errors="replace").splitlines():
        say(line)
    require(process.returncode == 0, f"notebookctl {words} ended with status {process.returncode}")


async def readings(check: Check) -> None:
    """Each reading of each GPU with its unit, MIG mode among them; nothing is set."""
    async with NvmlGpus.open(SystemClock()) as gpus:
        board = {gpu.uuid: gpu for gpu in await gpus.inventory()}
        for sample in await gpus.sample():
            gpu = board[sample.uuid]
            say(f"GPU {gpu.index}: {gpu.name}, {gpu.pci_bus_id}, {gpu.uuid}")
            say(f"  memory {sample.memory_used_bytes / 2**30:.2f} of {gpu.memory_total_bytes / 2**30:.2f} GiB")
            say(f"  {sample.utilisation=} {sample.temperature_c=} {sample.power_w=} {sample.energy_j=}")
            say(f"  {sample.processes_seen=} {len(sample.processes)} processes; {sample.health}")
            held = sum(each.memory_used_bytes or 0 for each in sample.processes)
            say(f"  held by no process: {(sample.memory_used_bytes - held) / 2**20:.0f} MiB")
            require(sample.health.ok or sample.health.reason, "a sick GPU says why")
        for index, handle in enumerate(_handles()):
            say(f"GPU {index}: MIG mode {_told(pynvml.nvmlDeviceGetMigMode, handle)} (current, pending)")
            say(f"GPU {index}: at most {_told(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle)} MIG devices")


def _handles() -> list[object]:
    return [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]


def _told(function: Callable[..., object], *arguments: object) -> str:
    try:
        return str(function(*arguments))
    except pynvml.NVMLError as error:
        return f"not told ({error})"


async def listening(check: Check) -> None:
    """Which events each GPU reports; then wait for some. On the stand-in one is made, and must be heard."""
    async with NvmlGpus.open(SystemClock()) as gpus:
        await gpus.inventory()
        for index, handle in enumerate(_handles()):
            types = int(pynvml.nvmlDeviceGetSupportedEventTypes(handle))
            names = [name for name, bit in _EVENT_TYPES.items() if types & bit]
            say(f"GPU {index}: event types {types:#x}: {', '.join(names) or 'none of ours'}")
        if check.stand_in:
            with Path(os.environ["NVML_WORLD"]).open("a") as world:
                world.write("gpu 0 event xid 31\n")
        until = time.monotonic() + check.listen_s
        heard = gpus.take_events()
        while time.monotonic() < until and not (heard and check.stand_in):
            await asyncio.sleep(0.05)
            heard += gpus.take_events()
        say(f"heard in {check.listen_s:g} s: {', '.join(f'Xid {each.xid}' for each in heard) or 'nothing'}")
        require(heard or not check.stand_in, "the Xid was not heard")


async def release(check: Check) -> None:
    """Let go: no library is mapped and no device open, so that a driver could be reset or upgraded. Take it again."""
    async with NvmlGpus.open(SystemClock()) as gpus:
        before = await gpus.inventory()
        say(f"held: {len(_devices())} descriptors of /dev/nvidia*, library {_mapped() or 'not mapped'}")
        began = time.monotonic()
        await gpus.release()
        took_s = time.monotonic() - began
        say(f"released in {took_s:.3f} s: {len(_devices())} descriptors, library {_mapped() or 'gone'}")
        require(not _devices(), f"still open: {_devices()}")
        require(not _mapped(), f"still mapped: {_mapped()}")
        try:
            await gpus.inventory()
        except GpusUnavailable as refusal:
            say(f"a read meanwhile: {refusal.message}")
        else:
            raise Failed("a released driver was read")
        began = time.monotonic()
        await gpus.acquire()
        require(await gpus.inventory() == before, "the GPUs are others than before")
        say(f"acquired and the same GPUs listed in {time.monotonic() - began:.3f} s")


def _devices() -> list[str]:
    found = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(each.readlink()))
        except OSError:
            continue
    return [target for target in found if target.startswith("/dev/nvidia")]


def _mapped() -> str:
    lines = Path("/proc/self/maps").read_text().splitlines()
    return next((line.split()[-1] for line in lines if "libnvidia-ml" in line), "")


async def polling(check: Check) -> None:
    """As many polls as an hour has, or as fit in the time; what they cost, and whether anything grows."""
    async with NvmlGpus.open(SystemClock()) as gpus:
        await gpus.sample()
        before, descriptors = _resident_kib(), _descriptors()
        took: list[float] = []
        began, cpu = time.monotonic(), time.process_time()
        while len(took) < POLLS_AN_HOUR and time.monotonic() - began < check.poll_s:
            start = time.monotonic()
            await gpus.inventory()
            await gpus.sample()
            took.append(time.monotonic() - start)
        cpu_s = time.process_time() - cpu
        hour_s = cpu_s / len(took) * POLLS_AN_HOUR
        say(f"{len(took)} polls in {time.monotonic() - began:.1f} s")
        say(f"each: median {sorted(took)[len(took) // 2] * 1e3:.1f} ms, slowest {max(took) * 1e3:.1f} ms")
        say(f"an hour at one poll in 5 s: {hour_s:.2f} s of CPU, {hour_s / 36:.3f} % of one core")
        grown = _resident_kib() - before
        say(f"grown by {grown} KiB of memory and {_descriptors() - descriptors} descriptors")
        require(_descriptors() <= descriptors, "descriptors leak")
        require(grown < 16 * 1024, "memory leaks")


def _resident_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


STEPS: dict[str, Callable[[Check], Awaitable[None]]] = {
    "the contract suite of the adapter": contract,
    "readings, MIG read only": readings,
    "the board, through API and CLI": board,
    "listening for Xids": listening,
    "release and acquire": release,
    "the cost of polling": polling,
}


def main() -> int:
    """Every step, one after the other; 1 when one failed."""
    parser = argparse.ArgumentParser(prog="gpu-check", description=__doc__)
    parser.add_argument("--stand-in", action="store_true", help="on the stand-in library, to try this script")
    parser.add_argument("--listen", type=float, default=20, metavar="SECONDS", help="how long to wait for events")
    parser.add_argument("--poll", type=float, default=60, metavar="SECONDS", help="how long to poll at most")
    parser.add_argument("--only", default="", metavar="WORD", help="only steps with this word in their title")
    options = parser.parse_args()
    if options.stand_in and "NVML_WORLD" not in os.environ:
        return _on_the_stand_in()
    check = Check(stand_in=options.stand_in, listen_s=options.listen, poll_s=options.poll)
    began, failed = time.monotonic(), []
    steps = {title: step for title, step in STEPS.items() if options.only in title}
    for title, step in steps.items():
        start = time.monotonic()
        print(f"== {title}", flush=True)
        try:
            asyncio.run(step(check))
        except (Failed, GpusUnavailable, pynvml.NVMLError, TimeoutError, subprocess.TimeoutExpired) as error:
            failed.append(title)
            say(f"FAILED: {error}")
        say(f"({time.monotonic() - start:.1f} s)")
    print(f"gpu-check: {len(steps) - len(failed)} of {len(steps)} passed in {time.monotonic() - began:.0f} s")
    for title in failed:
        print(f"gpu-check: FAILED: {title}")
    return 1 if failed else 0


def _on_the_stand_in() -> int:
    """Itself again, under a loader that finds the stand-in first."""
    library = build()
    with tempfile.TemporaryDirectory(prefix="gpu-check-world-") as folder:
        world = Path(folder) / "world"
        world.write_text("gpu 0\ngpu 1 compute 1 3GiB\ngpu 1 recovery 0\n")
        environment = {"LD_LIBRARY_PATH": str(library.with_name(LIBRARY).parent), "NVML_WORLD": str(world)}
        command = [sys.executable, "-m", "tests.nvml.gpu_check", *sys.argv[1:]]
        return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
