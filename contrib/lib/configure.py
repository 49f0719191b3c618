# SPDX-License-Identifier: Apache-2.0
"""quickstart's configuration: ``configure.py [--over FILE] section.key=value ...`` prints one merged TOML document;
``configure.py --over FILE --print section.key`` prints what the file has there, or nothing.

The file's values win over those of the arguments, table by table and key by key. Standard library only: this runs
before anything is installed.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any


def parse_values(assignments: list[str]) -> dict[str, Any]:
    """``gpus.simulated=2`` as ``{"gpus": {"simulated": 2}}``; what is no number stays text."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        key, _, text = assignment.partition("=")
        section, _, name = key.partition(".")
        values.setdefault(section, {})[name] = int(text) if text.isdigit() else text
    return values


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """``above`` laid over ``below``: tables are merged, anything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        beneath = merged.get(key)
        merged[key] = merge(beneath, value) if isinstance(beneath, dict) and isinstance(value, dict) else value
    return merged


def to_toml(table: dict[str, Any], path: tuple[str, ...] = ()) -> list[str]:
    """The lines of a table: its plain keys, then its sub-tables and arrays of tables."""
    lines = [f"{_key(key)} = {_value(value)}" for key, value in table.items() if not _is_nested(value)]
    for key, value in table.items():
        below = (*path, _key(key))
        if isinstance(value, dict):
            lines += [f"[{'.'.join(below)}]", *to_toml(value, below)]
        elif _is_nested(value):
            for row in value:
                lines += [f"[[{'.'.join(below)}]]", *to_toml(row, below)]
    return lines


def _is_nested(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _key(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() and key.isascii() else json.dumps(key)


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False)  # TOML's basic strings take JSON's escapes
        case list():
            return f"[{', '.join(_value(item) for item in value)}]"
        case dict():
            return f"{{ {', '.join(f'{_key(key)} = {_value(item)}' for key, item in value.items())} }}"
        case _:
            return str(value)


def main(arguments: list[str]) -> None:
    """Prints the document; a file that cannot be read or is no TOML ends it with a sentence."""
    above: dict[str, Any] = {}
    if arguments[:1] == ["--over"]:
        source = Path(arguments[1])
        arguments = arguments[2:]
        try:
            above = tomllib.loads(source.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            sys.exit(f"cannot read {source}: {error}")
    if arguments[:1] == ["--print"]:
        section, _, name = arguments[1].partition(".")
        print(above.get(section, {}).get(name, ""))
        return
    print("\n".join(to_toml(merge(parse_values(arguments), above))))


if __name__ == "__main__":
    main(sys.argv[1:])
