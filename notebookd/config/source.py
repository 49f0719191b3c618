# SPDX-License-Identifier: Apache-2.0
"""Reading TOML files, with what is wrong with a file as a whole among the problems."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from notebookd.config.reader import Problem, Table


def read_toml(source: Path, problems: list[Problem]) -> dict[str, Any] | None:
    """The document in a file; None, and a problem more, where it cannot be had. A byte-order mark at its
    beginning is passed over."""
    why = ""
    try:
        return tomllib.loads(source.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        why = "there is no such file"
    except UnicodeDecodeError as error:
        why = f"it is not UTF-8 (byte {error.start})"
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        why = f"it is not TOML: {error}"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
    problems.append(Problem(file=str(source), key="", message=why))
    return None


def read_folder(folder: Path, problems: list[Problem]) -> tuple[Table, ...]:
    """The documents in a folder's ``*.toml``, by name; there need not be such a folder."""
    try:
        files = sorted(each for each in folder.iterdir() if each.suffix == ".toml" and not each.name.startswith("."))
    except FileNotFoundError:
        return ()
    except OSError as error:
        problems.append(Problem(file=str(folder), key="", message=error.strerror or str(error)))
        return ()
    read = ((file, read_toml(file, problems)) for file in files)
    return tuple(Table(each, file=str(file), key="", problems=problems) for file, each in read if each is not None)


def is_absent(file: Path) -> bool:
    """Whether there surely is no such file."""
    try:
        file.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False
