# SPDX-License-Identifier: Apache-2.0
"""What each Xid says and what follows from it. Pure.

The source of the table is NVIDIA's "Xid Catalog" (https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html,
state of October 2025). Its column "Resolution Bucket (Immediate Action)" decides:

- IGNORE, RESTART_APP and UPDATE_SWFW are a :attr:`Action.NOTE`: the GPU can be used by the next program.
- RESET_GPU, RESTART_BM, RESTART_VM, CHECK_MECHANICALS and CONTACT_SUPPORT are a :attr:`Action.QUARANTINE`.
- Where the catalogue sends the reader to Xid 154 or to a workflow that ends there, the driver's recovery action
  decides: :attr:`Action.RECOVERY`. Xid 45 follows another Xid, which says more, and is noted.

An Xid that the table lacks, such as the numbers that the catalogue calls unused, is a quarantine: the catalogue asks to
contact the support. ``[gpus.xid]`` of the configuration stands over the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

NO_RECOVERY = "none"
"""The driver's recovery action when the GPU can be used as it is."""


class Action(StrEnum):
    """What follows from an Xid."""

    NOTE = "note"
    QUARANTINE = "quarantine"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class Xid:
    """What follows, and what it says in words."""

    action: Action
    words: str


def _note(words: str) -> Xid:
    return Xid(Action.NOTE, words)


def _quarantine(words: str) -> Xid:
    return Xid(Action.QUARANTINE, words)


def _recovery(words: str) -> Xid:
    return Xid(Action.RECOVERY, words)


def _engines(name: str, numbers: Mapping[int, int]) -> dict[int, Xid]:
    """Errors of an engine of which a GPU has several: Xid by the engine's number."""
    return {xid: _note(f"error of the {name} {engine}") for engine, xid in numbers.items()}


XIDS: Mapping[int, Xid] = {
    8: _note("GPU stopped processing"),
    11: _note("invalid or corrupted push buffer"),
    13: _note("graphics engine exception: most often a program's access out of bounds"),
    14: _note("unused by the driver"),
    25: _note("invalid or illegal push buffer"),
    31: _note("GPU memory page fault: a program's access to memory that is not its own"),
    32: _note("invalid or corrupted push buffer"),
    37: _note("error of the driver's firmware"),
    38: _note("error of the driver's firmware"),
    43: _note("GPU stopped processing: a program's error"),
    44: _note("graphics engine fault during a context switch"),
    45: _note("cleanup of a program after an earlier error"),
    46: _quarantine("GPU stopped processing"),
    48: _recovery("double-bit ECC error"),
    54: _quarantine("auxiliary power is not connected"),
    60: _note("video processor exception"),
    62: _quarantine("internal micro-controller halt"),
    63: _note("memory row marked for remapping; it takes effect with the next reset"),
    64: _quarantine("memory row remapping failed"),
    66: _note("illegal access by the driver"),
    67: _note("illegal access by the driver"),
    69: _note("graphics engine class error"),
    74: _quarantine("NVLink error"),
    78: _note("vGPU start error"),
    79: _quarantine("fallen off the bus"),
    80: _note("corrupted data sent to the GPU"),
    86: _note("optical flow engine exception"),
    92: _note("high rate of single-bit ECC errors"),
    93: _note("wear limit of the InfoROM exceeded"),
    94: _note("contained memory error: only the program that hit it is affected"),
    95: _quarantine("uncontained memory error"),
    106: _note("test message"),
    107: _note("test message"),
    108: _note("NVLink remote translation error"),
    109: _quarantine("context switch timeout"),
    110: _quarantine("security fault"),
    119: _quarantine("GSP firmware does not answer"),
    120: _quarantine("GSP firmware error"),
    121: _note("chip-to-chip link error, corrected"),
    136: _quarantine("NVLink training failed"),
    137: _note("NVLink privilege error"),
    139: _note("optical flow engine exception"),
    140: _quarantine("unrecovered ECC error"),
    141: _note("CUDA fast path error"),
    142: _quarantine("error of the video encoder 3"),
    143: _quarantine("GPU initialization error"),
    144: _recovery("NVLink error (SAW)"),
    145: _recovery("NVLink error (RLW)"),
    146: _recovery("NVLink error (TLW)"),
    147: _recovery("NVLink error (TREX)"),
    148: _recovery("NVLink error (NVLPW_CTRL)"),
    149: _recovery("NVLink error (NETIR)"),
    150: _recovery("NVLink error (MSE)"),
    151: _quarantine("key rotation error"),
    152: _note("deep learning accelerator memory error"),
    153: _note("deep learning accelerator timeout"),
    154: _recovery("GPU recovery action changed"),
    155: _quarantine("NVLink error defined by software"),
    156: _quarantine("a resource of the GPU is retired"),
    157: _note("retirement of a resource failed"),
    158: _quarantine("GPU fatal timeout"),
    160: _note("a memory channel is retired"),
    161: _note("retirement of a memory channel failed"),
    **_engines("copy engine", {0: 39, 1: 40, 2: 41, 3: 70, 4: 71, 5: 72, 6: 75, 7: 76, 8: 77, 9: 85}),
    **_engines("copy engine", {engine: 116 + engine for engine in range(10, 20)}),
    **_engines("video decoder", {0: 68, 1: 83, 2: 84, 3: 88, 4: 89, 5: 96, 6: 97, 7: 98}),
    **_engines("JPEG engine", {0: 82, **{engine: 98 + engine for engine in range(1, 8)}}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class XidRules:
    """The table with what the configuration says otherwise, by number."""

    overrides: Mapping[int, Action] = field(default_factory=dict)

    def quarantines(self, xid: int | None, recovery: str | None) -> bool:
        """Whether a report takes the GPU out of leasing. ``xid`` None is a double-bit ECC error; ``recovery`` is the
        recovery action that the driver asks for, None where it names none."""
        action = self._action(48 if xid is None else xid)
        return action is Action.QUARANTINE or (action is Action.RECOVERY and recovery != NO_RECOVERY)

    def _action(self, xid: int) -> Action:
        known = XIDS.get(xid)
        return self.overrides.get(xid, known.action if known else Action.QUARANTINE)


def xid_words(xid: int) -> str:
    """The Xid with what it says: ``Xid 79, fallen off the bus``."""
    known = XIDS.get(xid)
    return f"Xid {xid}, {known.words}" if known else f"Xid {xid}, which NVIDIA's catalogue does not explain"
