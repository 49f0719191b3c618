# SPDX-License-Identifier: Apache-2.0
"""``notebookd doctor``: is this machine fit to run notebooks, and if not, what cures it. Works with the daemon down."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from notebookd.config import Config, load_config
from notebookd.doctor.checks import CHECKS
from notebookd.doctor.finding import Finding, Status
from notebookd.doctor.machine import Machine, NotSeen, Patient
from notebookd.errors import ConfigError

__all__ = ["Finding", "Machine", "Status", "examine", "main", "run_doctor"]


def examine(config: Config, machine: Machine | None = None) -> list[Finding]:
    """Everything the checks found, in their order."""
    patient = Patient(config, machine or Machine())
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            findings.extend(check(patient))
        except (NotSeen, OSError) as error:
            name = check.__name__.removeprefix("check_").replace("_", " ")
            findings.append(Finding(name=name, status=Status.WARN, seen=str(error), cure="sudo notebookd doctor"))
    return findings


def run_doctor(
    config: Config, *, json_output: bool = False, out: TextIO | None = None, machine: Machine | None = None
) -> int:
    """Print what was found; 0 when nothing fails, else 1."""
    return _report(examine(config, machine), json_output=json_output, out=out or sys.stdout)


def main(arguments: Sequence[str] | None = None) -> int:
    """``notebookd doctor [--json] [--config FILE]``; a configuration that cannot be used is a finding too."""
    parser = argparse.ArgumentParser(prog="notebookd doctor", description="Check that this machine can run notebooks.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the configuration, instead of the installed one")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config)
    except ConfigError as error:
        cure = f"correct {options.config or 'the configuration'}; `notebookctl config check` looks again"
        finding = Finding(name="configuration", status=Status.FAIL, seen=error.message, cure=cure)
        return _report([finding], json_output=options.json, out=sys.stdout)
    return run_doctor(config, json_output=options.json)


def _report(findings: Sequence[Finding], *, json_output: bool, out: TextIO) -> int:
    failed = [finding for finding in findings if finding.status is Status.FAIL]
    warned = [finding for finding in findings if finding.status is Status.WARN]
    if json_output:
        json.dump({"ok": not failed, "findings": [asdict(finding) for finding in findings]}, out, indent=2)
        out.write("\n")
        return 1 if failed else 0
    width = max((len(finding.name) for finding in findings), default=0)
    for finding in findings:
        out.write(f"{finding.status:<5}{finding.name:<{width}}  {finding.seen}\n")
        if finding.cure:
            out.write(f"{'':<5}{'':<{width}}  cure: {finding.cure}\n")
    out.write(f"\n{len(findings)} checks, {len(warned)} to look at, {len(failed)} failed\n")
    return 1 if failed else 0
