# SPDX-License-Identifier: Apache-2.0
"""Reading ``[[editor]]``, ``[[framework]]`` and ``[[image]]``, the configuration's before the built-in ones."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import cast, get_args

from notebookd.config.reader import Table
from notebookd.config.shape import ActivityApi, CatalogueEntry, Editor, Framework, Images

USER_UID = 42420
PROBE = "/api"
ACTIVITY_APIS: tuple[str, ...] = get_args(ActivityApi)

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}")


@dataclass(slots=True, kw_only=True)
class _Shelf:
    """What was read from one place."""

    editors: dict[str, Editor] = field(default_factory=dict)
    frameworks: dict[str, Framework] = field(default_factory=dict)
    entries: dict[tuple[str, str, str], CatalogueEntry] = field(default_factory=dict)


def read_images(root: Table, built_in: Table) -> Images:
    """The configuration's catalogue over the built-in one.

    An ``[[image]]`` without a command, uid, probe or activity takes those of the built-in image of the same editor. An
    editor or framework that only an image names goes by its id.
    """
    below = _read(built_in, _Shelf())
    built_in.close()
    above = _read(root, below)
    entries = {**above.entries, **{key: entry for key, entry in below.entries.items() if key not in above.entries}}
    editors = {**below.editors, **above.editors}
    frameworks = {**below.frameworks, **above.frameworks}
    for entry in entries.values():
        editors.setdefault(entry.editor, Editor(id=entry.editor, name=entry.editor))
        frameworks.setdefault(entry.framework, Framework(id=entry.framework, name=entry.framework))
    return Images(
        editors=tuple(editors.values()), frameworks=tuple(frameworks.values()), entries=tuple(entries.values())
    )


def _read(root: Table, below: _Shelf) -> _Shelf:
    shelf = _Shelf()
    for table in root.tables("editor"):
        editor = _editor(table)
        if editor.id in shelf.editors:
            table.problem("id", f"{editor.id!r} is there twice")
        shelf.editors[editor.id] = editor
    for table in root.tables("framework"):
        framework = _framework(table)
        if framework.id in shelf.frameworks:
            table.problem("id", f"{framework.id!r} is there twice")
        shelf.frameworks[framework.id] = framework
    for table in root.tables("image"):
        entry = _entry(table, below)
        key = (entry.editor, entry.framework, entry.version)
        if key in shelf.entries and all(key):
            table.problem("", f"{' '.join(key)} is there twice")
        shelf.entries[key] = entry
    return shelf


def _editor(table: Table) -> Editor:
    editor_id = table.required("id", _id, "unnamed")
    return Editor(
        id=editor_id,
        name=table.text("name", editor_id),
        description=table.take("description", str, ""),
        doc_url=table.parsed("doc_url", _url, None),
        logo_url=table.parsed("logo_url", _url, None),
        version=table.parsed("version", str, None),
    )


def _framework(table: Table) -> Framework:
    framework_id = table.required("id", _id, "unnamed")
    return Framework(
        id=framework_id,
        name=table.text("name", framework_id),
        description=table.take("description", str, ""),
        doc_url=table.parsed("doc_url", _url, None),
        logo_url=table.parsed("logo_url", _url, None),
    )


def _entry(table: Table, below: _Shelf) -> CatalogueEntry:
    editor = table.required("editor", _id, "")
    like = next((entry for entry in below.entries.values() if entry.editor == editor), None)
    if like is None and not table.has("command"):
        table.problem("command", "is missing", "the built-in catalogue has no image of that editor to take it from")
    command = table.strings_repeatable("command", like.command if like else ())
    if table.has("command") and not command:
        table.problem("command", "must not be empty")
    return CatalogueEntry(
        editor=editor,
        framework=table.required("framework", _id, ""),
        version=table.required("version", _version, ""),
        image=table.required("image", _reference, ""),
        command=command,
        uid=table.integer("uid", like.uid if like else USER_UID, at_least=1, at_most=65_533),
        probe=table.text("probe", like.probe if like else PROBE, _probe),
        # Of an editor that nobody described the API is asked in vain: it is then never taken for idle.
        activity=cast(ActivityApi, table.choice("activity", ACTIVITY_APIS, like.activity if like else "jupyter")),
    )


def _id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError(f"{text!r} is not an id: lower-case letters, digits, '.', '-' and '_', up to 63 of them")
    return text


def _version(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,62}", text):
        raise ValueError(f"{text!r} is not a version: letters, digits, '.', '-', '+' and '_', up to 63 of them")
    return text


def _reference(text: str) -> str:
    if not _REFERENCE.fullmatch(text):
        raise ValueError(f"{text!r} is not the name of an image")
    return text


def _probe(text: str) -> str:
    if not re.fullmatch(r"/[!-~]*", text):
        raise ValueError(f"{text!r} is not a path that begins with /")
    return text


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[!-~]+", text):
        raise ValueError(f"{text!r} is not a http or https address")
    return text
