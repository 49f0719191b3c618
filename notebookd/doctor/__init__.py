# SPDX-License-Identifier: Apache-2.0
"""``notebookd doctor``: is this machine fit to run notebooks, and if not, what cures it. Works with the daemon down."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TextIO

from notebookd.config import Config, load_config, parse_config
from notebookd.doctor.checks import CHECKS
from notebookd.doctor.configuration import chosen_file, find_faults, is_hidden
from notebookd.doctor.configuration import main as check_config
from notebookd.doctor.finding import Check, Finding, Status
from notebookd.doctor.machine import Machine, NotSeen, Patient
from notebookd.errors import ConfigError
from notebookd.neutral import neutral

__all__ = ["Finding", "Machine", "Status", "check_config", "examine", "main", "run_doctor"]

PATIENCE_S = 20.0
AGAIN = "sudo notebookd doctor"


class _Examination(threading.Thread):
    """One check, in a thread of its own, so that one that hangs holds up neither the others nor the report."""

    def __init__(self, check: Check, patient: Patient) -> None:
        super().__init__(name=check.__name__, daemon=True)
        self._check, self._patient = check, patient
        self._found: list[Finding] | None = None
        self.what = check.__name__.removeprefix("check_").replace("_", " ")

    def run(self) -> None:
        found: list[Finding] = []
        try:
            found.extend(self._check(self._patient))
        except Exception as error:  # noqa: BLE001 - a check that fails is a finding; the others go on
            known = isinstance(error, NotSeen | OSError)
            seen = str(error) if known else f"the check itself failed: {type(error).__name__}: {error}"
            found.append(Finding(name=self.what, status=Status.WARN, seen=seen, cure=AGAIN))
        self._found = found

    def findings(self) -> list[Finding]:
        """What it found by now."""
        if self._found is not None:
            return self._found
        seen = f"no answer in {PATIENCE_S:g} s: something hangs"
        return [
            Finding(name=self.what, status=Status.WARN, seen=seen, cure="dmesg | tail; then notebookd doctor again")
        ]


def examine(
    config: Config,
    machine: Machine | None = None,
    *,
    checks: Sequence[Check] = CHECKS,
    patience_s: float = PATIENCE_S,
) -> list[Finding]:
    """Everything the checks found, in their order. They run beside each other, and none longer than all may."""
    patient = Patient(config, machine or Machine())
    examinations = [_Examination(check, patient) for check in checks]
    for each in examinations:
        each.start()
    late = threading.Event()
    timer = threading.Timer(patience_s, late.set)
    timer.daemon = True
    timer.start()
    for each in examinations:
        while each.is_alive() and not late.is_set():
            each.join(timeout=0.05)
    timer.cancel()
    return [finding for each in examinations for finding in each.findings()]


def run_doctor(
    config: Config,
    *,
    file: Path | None = None,
    json_output: bool = False,
    out: TextIO | None = None,
    machine: Machine | None = None,
) -> int:
    """Print what was found, with cures for the configuration in ``file``; 0 when nothing fails, else 1."""
    return _report(_for_config(examine(config, machine), file), json_output=json_output, out=out or sys.stdout)


def main(arguments: Sequence[str] | None = None) -> int:
    """``notebookd doctor [--json] [--config FILE]``; a configuration that cannot be used is a finding too."""
    parser = argparse.ArgumentParser(prog="notebookd doctor", description="Check that this machine can run notebooks.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the configuration, instead of the installed one")
    options = parser.parse_args(arguments)
    file = chosen_file(options.config)
    hidden = is_hidden(file)
    if hidden is not None:
        seen = [each for each in examine(parse_config({}, source=None)) if each.name != "configuration"]
        return _report(_for_config([hidden, *seen], file), json_output=options.json, out=sys.stdout)
    try:
        config = load_config(file)
    except ConfigError as error:
        return _report(list(find_faults(error, file)), json_output=options.json, out=sys.stdout)
    return run_doctor(config, file=file, json_output=options.json)


def _for_config(findings: Sequence[Finding], file: Path | None) -> list[Finding]:
    """The findings with cures that look at the same configuration: sudo keeps no NOTEBOOKD_CONFIG."""
    again = f"{AGAIN} --config {file}" if file else AGAIN
    return [replace(each, cure=each.cure.replace(AGAIN, again)) if each.cure else each for each in findings]


def _report(findings: Sequence[Finding], *, json_output: bool, out: TextIO) -> int:
    failed = [finding for finding in findings if finding.status is Status.FAIL]
    warned = [finding for finding in findings if finding.status is Status.WARN]
    if json_output:
        json.dump({"ok": not failed, "findings": [asdict(finding) for finding in findings]}, out, indent=2)
        out.write("\n")
        return 1 if failed else 0
    width = max((len(finding.name) for finding in findings), default=0)
    for finding in findings:
        out.write(f"{finding.status:<5}{finding.name:<{width}}  {neutral(finding.seen)}\n")
        if finding.cure:
            out.write(f"{'':<5}{'':<{width}}  cure: {neutral(finding.cure)}\n")
    out.write(f"\n{len(findings)} check{'s' * (len(findings) != 1)}, {len(warned)} to look at, {len(failed)} failed\n")
    return 1 if failed else 0
