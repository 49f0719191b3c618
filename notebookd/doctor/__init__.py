# SPDX-License-Identifier: Apache-2.0
"""``notebookd doctor``: is this machine fit to run notebooks, and if not, what cures it. Works with the daemon down."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TextIO

from notebookd.config import Config, load_config, parse_config
from notebookd.doctor.checks import CHECKS
from notebookd.doctor.configuration import chosen_file, find_faults, is_hidden
from notebookd.doctor.configuration import main as check_config
from notebookd.doctor.examination import AGAIN, PATIENCE_S, examined
from notebookd.doctor.finding import Check, Finding, Status
from notebookd.doctor.machine import Machine
from notebookd.errors import ConfigError
from notebookd.neutral import neutral

__all__ = ["Finding", "Machine", "Status", "check_config", "examine", "main", "run_doctor"]


def examine(
    config: Config,
    machine: Machine | None = None,
    *,
    checks: Sequence[Check] = CHECKS,
    patience_s: float = PATIENCE_S,
) -> list[Finding]:
    """Everything the checks found, in their order. They run beside each other, and none longer than all may."""
    return examined(config, machine or Machine(), checks=checks, patience_s=patience_s)


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
