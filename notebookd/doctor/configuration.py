# SPDX-License-Identifier: Apache-2.0
"""``notebookd check-config``: every fault of a configuration, or what holds under it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from notebookd.config import DEFAULT_PATH, Config, load_config, settings_of
from notebookd.doctor.examination import examined
from notebookd.doctor.finding import Finding, fail, warn
from notebookd.doctor.machine import Machine
from notebookd.doctor.mentions import check_every_mention
from notebookd.errors import ConfigError
from notebookd.wire.redaction import Redactor


def chosen_file(named: Path | None) -> Path | None:
    """The file that was named, or NOTEBOOKD_CONFIG names; None is the installed one."""
    return named or (Path(named_there) if (named_there := os.environ.get("NOTEBOOKD_CONFIG")) else None)


def main(arguments: Sequence[str] | None = None) -> int:
    """``notebookd check-config [--json] [FILE]``; 0 when it can be used, else 1. What it names and is not there is a
    warning."""
    parser = argparse.ArgumentParser(
        prog="notebookd check-config", description="Check a configuration, and say every fault of it at once."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, with what holds under it")
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help=f"instead of {DEFAULT_PATH}")
    options = parser.parse_args(arguments)
    file = chosen_file(options.file)
    try:
        config = load_config(file)
    except ConfigError as error:
        return _tell_faults(error, file or DEFAULT_PATH, json_output=options.json, out=sys.stdout)
    warnings = absent_in(config)
    if options.json:
        said = {
            "ok": True,
            "file": str(config.source or ""),
            "items": shown(config),
            "faults": [],
            "warnings": warnings,
        }
        json.dump(said, sys.stdout)
        sys.stdout.write("\n")
        return 0
    if config.source is None:
        sys.stdout.write(f"there is no {DEFAULT_PATH}: every default holds\n")
    else:
        sys.stdout.write(f"{config.source}: {len(config.given)} key{'s' * (len(config.given) != 1)}, no fault\n")
    for each in warnings:
        sys.stdout.write(f"warning: {each['key']}: {each['message']}\n  hint: {each['hint']}\n")
    return 0


def absent_in(config: Config, machine: Machine | None = None) -> list[dict[str, str]]:
    """A warning for each thing that is named and is not there, in the shape of a fault. It keeps nothing from running:
    what is named may come."""
    found = examined(config, machine or Machine(), checks=(check_every_mention,))
    parts = [(each.seen.partition(": "), each.cure or "") for each in found]
    file = str(config.source or "")
    return [{"file": file, "key": key, "message": message, "hint": hint} for (key, _, message), hint in parts]


def shown(config: Config) -> list[dict[str, Any]]:
    """What holds, without secrets: key, value, and where the value is from."""
    redactor = Redactor()
    return [
        {
            "key": setting.key,
            "value": redactor.value({setting.key: setting.value})[setting.key],
            "source": "file" if setting.given else "default",
        }
        for setting in settings_of(config)
    ]


def faults_of(error: ConfigError) -> list[dict[str, str]]:
    """Each fault with its file, key, message and hint."""
    problems = error.details.get("problems") or [{"message": error.message}]
    return [{name: str(problem.get(name) or "") for name in ("file", "key", "message", "hint")} for problem in problems]


def find_faults(error: ConfigError, file: Path | None) -> Iterator[Finding]:
    """A finding for each fault."""
    check = f"notebookctl config check {file or ''}".rstrip()
    for fault in faults_of(error):
        where = " ".join(filter(None, (fault["file"], fault["key"])))
        hint = f" ({fault['hint']})" if fault["hint"] else ""
        yield fail("configuration", f"{where}: {fault['message']}{hint}", f"correct it; `{check}` looks again")


def is_hidden(file: Path | None) -> Finding | None:
    """A finding where the file is there and the caller may not read it: the defaults then stand for it."""
    place = file or DEFAULT_PATH
    if place.exists() and not os.access(place, os.R_OK):
        return warn("configuration", f"{place} may not be read: the rest is by the defaults", "sudo notebookd doctor")
    return None


def _tell_faults(error: ConfigError, file: Path, *, json_output: bool, out: TextIO) -> int:
    faults = faults_of(error)
    if json_output:
        json.dump({"ok": False, "file": str(file), "items": [], "faults": faults}, out)
        out.write("\n")
        return 1
    for fault in faults:
        out.write(f"{fault['file'] or file}: {fault['key'] + ': ' if fault['key'] else ''}{fault['message']}\n")
        if fault["hint"]:
            out.write(f"  hint: {fault['hint']}\n")
    out.write(f"{len(faults)} fault{'s' if len(faults) > 1 else ''}: notebookd does not start with it\n")
    return 1
