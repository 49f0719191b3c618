# SPDX-License-Identifier: Apache-2.0
"""Reading ``[[editor]]``, ``[[framework]]`` and ``[[image]]``: the configuration's, catalogue.d's, the built-in."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import cast, get_args

from notebookd.config.names import matching
from notebookd.config.reader import Table
from notebookd.config.shape import ActivityApi, CatalogueEntry, Editor, Framework, Images
from notebookd.spelling import did_you_misspell

TABLES = ("editor", "framework", "image")
USER_UID = 42420
PROBE = "/api"
ACTIVITY_APIS: tuple[str, ...] = get_args(ActivityApi)

WORKSPACE = "/workspace"

_id = matching(r"[a-z0-9][a-z0-9._-]{0,62}", "an id: lower-case letters, digits, '.', '-' and '_', up to 63 of them")
_version = matching(
    r"[A-Za-z0-9][A-Za-z0-9._+-]{0,62}", "a version: letters, digits, '.', '-', '+' and '_', up to 63 of them"
)
_probe = matching(r"/[!-~]*", "a path that begins with /")
_url = matching(r"https?://[!-~]+", "a http or https address")
_DOMAIN = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?/)?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
REFERENCE = rf"{_DOMAIN}{_PART}(?:/{_PART})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?"
"""The shape of an image's name; a digest, ``sha256:<hex>``, has it too."""
LONGEST_REFERENCE = 255
_REFERENCE = re.compile(REFERENCE)
_LABEL_KEY = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?")
_LONGEST_LABEL = 255
_OUR_LABELS = ("ovh/", "notebookd/")


@dataclass(slots=True, kw_only=True)
class _Shelf:
    """What was read so far, from the least to the most preferred place."""

    editors: dict[str, Editor] = field(default_factory=dict)
    frameworks: dict[str, Framework] = field(default_factory=dict)
    entries: dict[tuple[str, str, str], CatalogueEntry] = field(default_factory=dict)
    apart: list[tuple[Table, Editor]] = field(default_factory=list)
    """The tables that name frameworks which their editor is not offered with. Which there are shows at the end."""

    def over(self, below: _Shelf) -> _Shelf:
        """Both, what is here first and in place of the same there."""
        return _Shelf(
            editors={**below.editors, **self.editors},
            frameworks={**below.frameworks, **self.frameworks},
            entries={**self.entries, **{key: each for key, each in below.entries.items() if key not in self.entries}},
            apart=[*below.apart, *self.apart],
        )


def read_images(root: Table, dropped: Sequence[Table], built_in: Table) -> Images:
    """The catalogue of the configuration, over that of catalogue.d's files, over the built-in one.

    What is there below by the same name gives whatever is not said here; an ``[[image]]`` that is new takes command,
    uid, probe and activity from an image of the same editor. An editor or framework that only an image names goes by
    its id.
    """
    shelf = _read(built_in, _Shelf())
    built_in.close()
    folder = _Shelf()
    for table in dropped:
        _read(table, shelf, folder)
        table.close()
    above = _read(root, folder.over(shelf))
    added = above.over(folder)
    shelf = added.over(shelf)
    for entry in shelf.entries.values():
        shelf.editors.setdefault(entry.editor, Editor(id=entry.editor, name=entry.editor))
        shelf.frameworks.setdefault(entry.framework, Framework(id=entry.framework, name=entry.framework))
    for table, editor in shelf.apart:
        _require_unmistaken(table, editor.incompatible_with, shelf.frameworks)
    return Images(
        editors=tuple(shelf.editors.values()),
        frameworks=tuple(shelf.frameworks.values()),
        entries=tuple(shelf.entries.values()),
        added=len(added.entries),
    )


def _read(root: Table, below: _Shelf, shelf: _Shelf | None = None) -> _Shelf:
    """What one document says, laid on ``shelf``. What another file said there may be said again, and not otherwise."""
    shelf = shelf or _Shelf()
    begun = _Shelf(editors=dict(shelf.editors), frameworks=dict(shelf.frameworks), entries=dict(shelf.entries))
    under = begun.over(below)
    for table in root.tables("editor"):
        editor = _editor(table, under)
        _require_new(table, "id", repr(editor.id), editor, shelf.editors.get(editor.id), begun.editors.get(editor.id))
        shelf.editors[editor.id] = editor
        if table.has("incompatible_with"):
            shelf.apart.append((table, editor))
    for table in root.tables("framework"):
        framework = _framework(table, under)
        known = shelf.frameworks.get(framework.id)
        _require_new(table, "id", repr(framework.id), framework, known, begun.frameworks.get(framework.id))
        shelf.frameworks[framework.id] = framework
    for table in root.tables("image"):
        entry = _entry(table, under)
        key = (entry.editor, entry.framework, entry.version)
        if all(key):
            _require_new(table, "", " ".join(key), entry, shelf.entries.get(key), begun.entries.get(key))
        shelf.entries[key] = entry
    return shelf


def _require_new(table: Table, key: str, name: str, read: object, known: object, earlier: object) -> None:
    if earlier is not None and earlier != read:
        table.problem(key, f"{name} is in another file of the folder too, and not the same")
    elif known is not None and known is not earlier:
        table.problem(key, f"{name} is there twice")


def _require_unmistaken(table: Table, named: Sequence[str], frameworks: Collection[str]) -> None:
    """A framework that is not there yet may be named, but not one that is there and misspelt."""
    for position, framework in enumerate(named):
        if framework not in frameworks and (hint := did_you_misspell(framework, sorted(filter(None, frameworks)))):
            table.problem(f"incompatible_with[{position}]", f"there is no framework {framework!r}", hint)


def _editor(table: Table, below: _Shelf) -> Editor:
    editor_id = table.required("id", _id, "unnamed")
    like = below.editors.get(editor_id) or Editor(id=editor_id, name=editor_id)
    return Editor(
        id=editor_id,
        name=table.text("name", like.name),
        description=table.take("description", str, like.description),
        doc_url=table.parsed("doc_url", _url, like.doc_url),
        logo_url=table.parsed("logo_url", _url, like.logo_url),
        version=table.parsed("version", str, like.version),
        incompatible_with=table.strings("incompatible_with", like.incompatible_with),
    )


def _framework(table: Table, below: _Shelf) -> Framework:
    framework_id = table.required("id", _id, "unnamed")
    like = below.frameworks.get(framework_id) or Framework(id=framework_id, name=framework_id)
    return Framework(
        id=framework_id,
        name=table.text("name", like.name),
        description=table.take("description", str, like.description),
        doc_url=table.parsed("doc_url", _url, like.doc_url),
        logo_url=table.parsed("logo_url", _url, like.logo_url),
    )


def _entry(table: Table, below: _Shelf) -> CatalogueEntry:
    editor = table.required("editor", _id, "")
    framework = table.required("framework", _id, "")
    version = table.required("version", _version, "")
    same = below.entries.get((editor, framework, version))
    like = same or next((entry for entry in below.entries.values() if entry.editor == editor), None)
    if like is None and not table.has("command"):
        table.problem("command", "is missing", "there is no other image of that editor to take it from")
    command = table.strings_repeatable("command", like.command if like else ())
    if table.has("command") and not (command and command[0].strip()):
        table.problem("command", "must begin with a program")
    return CatalogueEntry(
        editor=editor,
        framework=framework,
        version=version,
        image=table.parsed("image", parse_reference, same.image)
        if same
        else table.required("image", parse_reference, ""),
        command=command,
        uid=table.integer("uid", like.uid if like else USER_UID, at_least=1, at_most=65_533),
        probe=table.text("probe", like.probe if like else PROBE, _probe),
        # Of an editor that nobody described the API is asked in vain: it is then never taken for idle.
        activity=cast(ActivityApi, table.choice("activity", ACTIVITY_APIS, like.activity if like else "jupyter")),
        saved_paths=_saved_paths(table, same),
        labels=_labels(table, same),
        deprecated=table.parsed("deprecated", str.strip, same.deprecated if same else None) or None,
    )


def _saved_paths(table: Table, same: CatalogueEntry | None) -> tuple[str, ...]:
    paths = table.strings("saved_paths", same.saved_paths if same else (WORKSPACE,))
    for position, path in enumerate(paths):
        parts = PurePosixPath(path).parts
        if parts[:2] != ("/", "workspace") or ".." in parts:
            table.problem(f"saved_paths[{position}]", f"{path!r} is not in {WORKSPACE}", "nothing else outlives a stop")
    return paths


def _labels(table: Table, same: CatalogueEntry | None) -> dict[str, str]:
    if not table.has("labels"):
        return dict(same.labels) if same else {}
    found = {}
    with table.open_table("labels") as given:
        for key in given.keys():  # noqa: SIM118 - a Table is no mapping
            found[key] = given.text(key, "", _label_value)
            if key.startswith(_OUR_LABELS):
                given.problem(key, f"labels {_OUR_LABELS[0]}... and {_OUR_LABELS[1]}... are the platform's")
            elif not _LABEL_KEY.fullmatch(key):
                given.problem(key, "a label's name is 1 to 128 characters of letters, digits and . _ / -")
    return found


def parse_reference(text: str) -> str:
    """The name of an image: a registry and a port, a path, a tag and a digest, of which only the path must be there.
    Raises ValueError."""
    if len(text) > LONGEST_REFERENCE or not _REFERENCE.fullmatch(text):
        raise ValueError(f"{text!r} is not the name of an image")
    return text


def _label_value(text: str) -> str:
    if len(text) > _LONGEST_LABEL:
        raise ValueError(f"a label's value has at most {_LONGEST_LABEL} characters")
    return text
