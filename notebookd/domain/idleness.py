# SPDX-License-Identifier: Apache-2.0
"""When a running notebook counts as idle: every signal could be read, and none moved for the whole window.

The signals: browser connections through the gateway, GPUs, what the editor tells (kernels and terminals, or a
heartbeat), and the CPUs that its programs keep busy: no editor tells of all of them. :func:`look` is called at
every look at a notebook and carries an :class:`IdleRecord` from one to the next. It answers ACTIVE, UNKNOWN or IDLE;
only IDLE stops anything. Three ideas carry it:

* **Lengths are measured by the boot clock.** A signal's wall-clock stamp is compared with what it was at the last look:
  unchanged means that nothing happened, whatever the wall clock did since. Only a stamp that *changed* is turned into
  a time, and every doubt about that (the wall clock was stepped, the stamp lies in the future or before the last look)
  is settled for the later time. So a clock that jumps an hour ahead culls nothing.
* **A stamp speaks for the time in which nobody looked, a sample does not.** After a time of Unknown, an unchanged
  stamp shows that nothing happened meanwhile. How busy GPUs and CPUs are is a sample: when it could not be read, or
  nobody looked for longer than :func:`longest_blink_s`, they may have been busy until now.
* **A person's wish is activity.** The window counts from no earlier than ``since``: the latest entry into RUNNING, or
  the latest start, restart, extension or change of labels by a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from notebookd.domain.activity import (
    ActivityApi,
    EditorActivity,
    GatewayUse,
    GpuLoad,
    Heartbeat,
    Kernel,
    Moment,
    Signals,
    Terminal,
)
from notebookd.domain.observed import Known, Seen, Unknown
from notebookd.times import format_duration, parse_duration

IDLE_STOP_LABEL = "notebookd/idle-stop"
SHORTEST_WINDOW_S = 60.0
"""Of a label; an administrator's own window may be shorter."""
GPU_THRESHOLD = 0.05
CPU_THRESHOLD = 0.05
"""Of one CPU. JupyterLab with an idle kernel, and VS Code, without a browser take less than a tenth of that."""

_QUIET_STATES = frozenset({"idle", "starting", "restarting", "autorestarting", "terminating", "dead"})
_SHOWN = 40


class Signal(StrEnum):
    """What shows that a notebook is in use."""

    PERSON = "person"
    BROWSER = "browser"
    KERNELS = "kernels"
    TERMINALS = "terminals"
    HEARTBEAT = "heartbeat"
    CPUS = "cpus"
    GPUS = "gpus"


_SAMPLED = frozenset({Signal.CPUS, Signal.GPUS})


class IdleState(StrEnum):
    """Whether a notebook is idle. Only IDLE may stop one."""

    ACTIVE = "active"
    UNKNOWN = "unknown"
    IDLE = "idle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """What the window counts from at the least. ``why`` reads before a time: "running since", "extended at"."""

    moment: Moment
    why: str = "running since"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleRule:
    """How long everything must be quiet, in seconds, and up to which utilisation a GPU and the programs are."""

    window_s: float
    gpu_threshold: float = GPU_THRESHOLD
    cpu_threshold: float = CPU_THRESHOLD


Stamps = frozenset[tuple[str, datetime | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One signal's past: when it was, or may have been, active last; when it was last read; what it said then."""

    active: Moment
    seen: Moment
    stamps: Stamps = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleRecord:
    """What is carried from look to look. It belongs to one run in one boot; a lost one costs accuracy, never a wrong
    stop: stamps are then read as far back as ``since``, and GPUs and CPUs count as busy until now."""

    marks: Mapping[Signal, Mark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One signal in words: active now, recently (within the window), quiet, or unknown."""

    signal: Signal
    state: Literal["active", "recent", "quiet", "unknown"]
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the notebook is idle and why. ``since`` is the latest activity, ``stops_at`` when everything will have
    been quiet for the whole window if nothing moves; None while that cannot be told."""

    state: IdleState
    since: Moment
    stops_at: datetime | None
    findings: tuple[Finding, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """A signal that could be read. ``busy`` says what is active at this very moment, ``quiet`` reads before a time."""

    busy: str | None
    quiet: str
    stamps: Stamps = frozenset()
    sample: bool = False


def parse_window(text: str) -> float | None:
    """Seconds of a value of the label, None for ``off``. Raises ValueError with a reason fit to show."""
    if text == "off":
        return None
    seconds = parse_duration(text)
    if seconds < SHORTEST_WINDOW_S:
        raise ValueError(f"{text!r} is too short: at least {format_duration(SHORTEST_WINDOW_S)}")
    return seconds


def idle_window(labels: Mapping[str, str], default_s: float | None) -> float | None:
    """How many seconds a notebook with these labels may be idle; None is for ever. The label outranks ``default_s``,
    the configuration's. A stored value that no longer reads counts as ``off``: it must not shorten anything."""
    text = labels.get(IDLE_STOP_LABEL)
    if not text:
        return default_s
    try:
        return parse_window(text)
    except ValueError:
        return None


def look_every_s(window_s: float) -> float:
    """How often to take a sample of the GPUs under this window, and to try again what was not seen; in seconds."""
    return min(max(window_s / 10, 1.0), 30.0)


def longest_blink_s(window_s: float) -> float:
    """For how long, in seconds, a GPU may go without a sample and is still taken to have been as it was."""
    return 4 * look_every_s(window_s)


def look(record: IdleRecord, signals: Signals, rule: IdleRule, since: Since, now: Moment) -> tuple[IdleRecord, Verdict]:
    """The record to carry on, and whether the notebook is idle now. ``since`` lies in the boot that ``now`` is of."""
    marks: dict[Signal, Mark] = {}
    findings = [_person(since, rule, now)]
    readings = _readings(signals, rule, now)
    for signal, reading in readings.items():
        mark = _mark(signal, record.marks.get(signal), reading, since.moment, rule, now)
        if mark is not None:
            marks[signal] = mark
        findings.append(_finding(signal, reading, mark, since.moment, rule, now))
    latest = _latest(since.moment, *(mark.active for mark in marks.values()))
    return IdleRecord(marks=marks), _verdict(tuple(findings), latest, rule, now)


def _readings(signals: Signals, rule: IdleRule, now: Moment) -> dict[Signal, _Reading | Unknown]:
    """Every signal that this notebook has."""
    found: dict[Signal, _Reading | Unknown] = {Signal.BROWSER: _browser(signals.browser)}
    match signals.editor:
        case Unknown() if signals.api is ActivityApi.CODE_SERVER:
            found[Signal.HEARTBEAT] = signals.editor
        case Unknown():
            found[Signal.KERNELS] = found[Signal.TERMINALS] = signals.editor
        case Known(EditorActivity() as activity):
            found[Signal.KERNELS] = _kernels(activity.kernels)
            found[Signal.TERMINALS] = _terminals(activity.terminals)
        case Known(Heartbeat() as heartbeat):
            found[Signal.HEARTBEAT] = _heartbeat(heartbeat, now)
    if signals.cpus is not None:
        found[Signal.CPUS] = _cpus(signals.cpus, rule)
    gpus = _gpus(signals.gpus, rule)
    return found if gpus is None else {**found, Signal.GPUS: gpus}


def _browser(use: Seen[GatewayUse]) -> _Reading | Unknown:
    if isinstance(use, Unknown):
        return use
    count = use.value.connections
    connections = "1 browser connection" if count == 1 else f"{count} browser connections"
    return _Reading(
        busy=f"{connections} open now" if count else None,
        quiet="no browser connection since",
        stamps=frozenset({("", use.value.last_used_at)}),
    )


def _kernels(kernels: tuple[Kernel, ...]) -> _Reading | Unknown:
    for kernel in kernels:
        if kernel.state != "busy" and kernel.state not in _QUIET_STATES:
            return Unknown(f"kernel {_shown(kernel.name)} is in a state {_shown(kernel.state)} that nobody knows")
    busy = [_shown(kernel.name) for kernel in kernels if kernel.state == "busy"]
    others = f" and {len(busy) - 1} more" if len(busy) > 1 else ""
    return _Reading(
        busy=f"kernel {busy[0]}{others} busy now" if busy else None,
        quiet="no kernel busy since" if kernels else "no kernel running since",
        stamps=frozenset((kernel.id, kernel.last_activity_at) for kernel in kernels),
    )


def _terminals(terminals: tuple[Terminal, ...]) -> _Reading:
    match terminals:
        case ():
            quiet = "no terminal open since"
        case (terminal,):
            quiet = f"terminal {_shown(terminal.name)} quiet since"
        case _:
            quiet = f"{len(terminals)} terminals quiet since"
    stamps = frozenset((terminal.name, terminal.last_activity_at) for terminal in terminals)
    return _Reading(busy=None, quiet=quiet, stamps=stamps)


def _heartbeat(heartbeat: Heartbeat, now: Moment) -> _Reading | Unknown:
    """A connection past the gateway would move it once a minute: what comes by the gateway is known to the second."""
    if heartbeat.last_at is not None and heartbeat.last_at > now.at:
        return Unknown(f"the editor's heartbeat lies in the future, at {_clock(heartbeat.last_at, now.at)}")
    return _Reading(busy=None, quiet="no heartbeat since", stamps=frozenset({("", heartbeat.last_at)}))


def _cpus(cpus: Seen[float], rule: IdleRule) -> _Reading | Unknown:
    if isinstance(cpus, Unknown):
        return cpus
    used = f"its programs use {100 * cpus.value:.0f} % of a CPU"
    if cpus.value > rule.cpu_threshold:
        return _Reading(busy=used, quiet="", sample=True)
    return _Reading(busy=None, quiet=f"{used}, not over {100 * rule.cpu_threshold:g} % since", sample=True)


def _gpus(gpus: Seen[tuple[GpuLoad, ...]], rule: IdleRule) -> _Reading | Unknown | None:
    """None: the run holds no GPU."""
    if isinstance(gpus, Unknown):
        return gpus
    told = [(gpu.index, gpu.utilisation) for gpu in gpus.value if gpu.utilisation is not None]
    busy = [(index, used) for index, used in told if used > rule.gpu_threshold]
    if busy:
        return _Reading(busy=_in_percent(busy), quiet="", sample=True)
    silent = next((gpu for gpu in gpus.value if gpu.utilisation is None), None)
    if silent is not None:
        return Unknown(f"GPU {silent.index} does not tell how busy it is")
    quiet = f"{_in_percent(told)}, none over {100 * rule.gpu_threshold:g} % since"
    return _Reading(busy=None, quiet=quiet, sample=True) if told else None


def _in_percent(gpus: list[tuple[int, float]]) -> str:
    return ", ".join(f"GPU {index} at {100 * used:.0f} %" for index, used in gpus)


def _shown(text: str) -> str:
    """What a container said, fit to be printed."""
    plain = "".join(each if each.isprintable() else "?" for each in text[:_SHOWN])
    return f"'{plain}'" if len(text) <= _SHOWN else f"'{plain}...'"


def _mark(
    signal: Signal, before: Mark | None, reading: _Reading | Unknown, since: Moment, rule: IdleRule, now: Moment
) -> Mark | None:
    if isinstance(reading, Unknown):
        return Mark(active=now, seen=now) if signal in _SAMPLED else before
    if reading.busy is not None:
        return Mark(active=now, seen=now, stamps=reading.stamps)
    if reading.sample:
        last = before or Mark(active=since, seen=since)
        blinked_s = now.boot_s - _latest(last.seen, since).boot_s
        return Mark(active=last.active if blinked_s <= longest_blink_s(rule.window_s) else now, seen=now)
    active = _first_evidence(reading.stamps, since, now) if before is None else _evidence(before, reading.stamps, now)
    return Mark(active=active, seen=now, stamps=reading.stamps)


def _first_evidence(stamps: Stamps, since: Moment, now: Moment) -> Moment:
    """What the stamps show when nothing is known of how they were before."""
    found = [_when(stamp, since, now) for _, stamp in stamps if stamp is not None]
    return _latest(since, *found)


def _evidence(before: Mark, stamps: Stamps, now: Moment) -> Moment:
    """When it was active last, given that it said ``before.stamps`` at the last look."""
    if stamps == before.stamps:
        return before.active
    gone = {name for name, _ in before.stamps} - {name for name, _ in stamps}
    found = [now if stamp is None else _when(stamp, before.seen, now) for _, stamp in stamps - before.stamps]
    if gone or any(moment.boot_s <= before.seen.boot_s for moment in found):
        return now  # it did change after the last look, and the stamps do not say when
    return _latest(before.active, *found)


def _when(stamp: datetime, lower: Moment, now: Moment) -> Moment:
    """The moment of a wall-clock stamp, never later than now. A step of the wall clock between ``lower`` and now could
    have fallen before or after the stamp: the later of the two readings is taken."""
    stepped_s = (now.at - lower.at).total_seconds() - (now.boot_s - lower.boot_s)
    age_s = max((now.at - stamp).total_seconds() - max(stepped_s, 0.0), 0.0)
    age_s = min(age_s, now.boot_s)  # a stamp of the year 1 is from before the boot
    return Moment(at=now.at - timedelta(seconds=age_s), boot_s=now.boot_s - age_s)


def _latest(first: Moment, *others: Moment) -> Moment:
    return max((first, *others), key=lambda moment: moment.boot_s)


def _person(since: Since, rule: IdleRule, now: Moment) -> Finding:
    return Finding(
        signal=Signal.PERSON,
        state=_recent_or_quiet(since.moment, rule, now),
        sentence=f"{since.why} {_clock(since.moment.at, now.at)}",
    )


def _finding(
    signal: Signal, reading: _Reading | Unknown, mark: Mark | None, since: Moment, rule: IdleRule, now: Moment
) -> Finding:
    if isinstance(reading, Unknown):
        return Finding(signal=signal, state="unknown", sentence=f"cannot see {signal}: {reading.reason}")
    assert mark is not None, "a signal that was read has a mark"
    active = _latest(since, mark.active)
    return Finding(
        signal=signal,
        state="active" if reading.busy is not None else _recent_or_quiet(active, rule, now),
        sentence=reading.busy or f"{reading.quiet} {_clock(active.at, now.at)}",
    )


def _recent_or_quiet(active: Moment, rule: IdleRule, now: Moment) -> Literal["recent", "quiet"]:
    return "recent" if now.boot_s - active.boot_s < rule.window_s else "quiet"


def _verdict(findings: tuple[Finding, ...], latest: Moment, rule: IdleRule, now: Moment) -> Verdict:
    window = format_duration(rule.window_s)
    active, recent, unknown = (
        [finding.sentence for finding in findings if finding.state == state]
        for state in ("active", "recent", "unknown")
    )
    left_s = max(rule.window_s - (now.boot_s - latest.boot_s), 0.0)
    stops_at = None if unknown else now.at + timedelta(seconds=left_s)
    if active:
        state, reason = IdleState.ACTIVE, f"in use: {_joined(active)}"
    elif recent:
        state, reason = IdleState.ACTIVE, f"not idle for {window} yet: {_joined(recent)}"
    elif unknown:
        state, reason = IdleState.UNKNOWN, f"cannot tell whether it is in use: {_joined(unknown)}"
    else:
        quiet = _joined(finding.sentence for finding in findings if finding.signal is not Signal.PERSON)
        state, reason = IdleState.IDLE, f"idle for {window} and more, since {_clock(latest.at, now.at)}: {quiet}"
    return Verdict(state=state, since=latest, stops_at=stops_at, findings=findings, reason=reason)


def _joined(sentences: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(sentences))


def _clock(at: datetime, now: datetime) -> str:
    """A time as people say it: the day only when it is another one."""
    return f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"
