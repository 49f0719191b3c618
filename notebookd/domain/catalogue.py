# SPDX-License-Identifier: Apache-2.0
"""What a notebook can be made of: editors, frameworks, their versions, and the image behind each combination.

An editor and a framework are compatible when there is an image with both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from notebookd.config import CatalogueEntry, Editor, Framework, Images, did_you_mean
from notebookd.errors import NotFound

__all__ = ["Catalogue", "CatalogueEntry", "Editor", "Framework", "Version"]

Item = TypeVar("Item", Editor, Framework)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of a framework and the ids of the editors that have an image with it."""

    framework: str
    version: str
    editors: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Every combination on offer. Order is preference: the first version of a framework is its default."""

    editors: tuple[Editor, ...]
    frameworks: tuple[Framework, ...]
    entries: tuple[CatalogueEntry, ...]

    @classmethod
    def of(cls, images: Images) -> Catalogue:
        """The catalogue that the configuration describes, less what it calls incompatible. What no image has is not in
        it."""
        apart = {(editor.id, framework) for editor in images.editors for framework in editor.incompatible_with}
        entries = tuple(entry for entry in images.entries if (entry.editor, entry.framework) not in apart)
        editors = {entry.editor for entry in entries}
        frameworks = {entry.framework for entry in entries}
        return cls(
            editors=tuple(editor for editor in images.editors if editor.id in editors),
            frameworks=tuple(framework for framework in images.frameworks if framework.id in frameworks),
            entries=entries,
        )

    @property
    def offered(self) -> tuple[CatalogueEntry, ...]:
        """The entries that new notebooks are made of."""
        return tuple(entry for entry in self.entries if entry.deprecated is None)

    def find(self, editor: str, framework: str, version: str | None = None) -> CatalogueEntry | None:
        """The entry of that combination, None when there is none. By default it is of the preferred version, which is a
        deprecated one only where there is no other."""
        for entry in (*self.offered, *self.entries):
            if entry.editor == editor and entry.framework == framework and version in {None, entry.version}:
                return entry
        return None

    def get(self, editor: str, framework: str, version: str | None = None) -> CatalogueEntry:
        """Like :meth:`find`. Raises NotFound saying which of the three is at fault, with a hint."""
        if (entry := self.find(editor, framework, version)) is not None:
            return entry
        raise self.why_missing(editor, framework, version)[0]

    def why_missing(self, editor: str, framework: str, version: str | None = None) -> list[NotFound]:
        """What is at fault where there is no such entry, with a hint each: at least one thing."""
        if self._has(editor=framework, framework=editor):
            return [_swapped(editor, framework)]
        unknown = [
            _missing(kind, f"there is no {kind} {asked!r}", asked, known)
            for kind, asked, known in (
                ("editor", editor, [each.id for each in self.editors]),
                ("framework", framework, [each.id for each in self.frameworks]),
            )
            if asked not in known
        ]
        if unknown:
            return unknown
        together = [each.id for each in self.compatible_frameworks(editor)]
        if not any((entry.editor, entry.framework) == (editor, framework) for entry in self.entries):
            cause = f"editor {editor!r} does not come with framework {framework!r}"
            return [_missing("framework", cause, framework, together)]
        versions = [each.version for each in self.versions(framework, editor=editor)]
        cause = f"framework {framework!r} has no version {version!r} with editor {editor!r}"
        return [_missing("version", cause, version or "", versions)]

    def _has(self, *, editor: str, framework: str) -> bool:
        return any(each.id == editor for each in self.editors) and any(each.id == framework for each in self.frameworks)

    def versions(self, framework: str, *, editor: str | None = None) -> tuple[Version, ...]:
        """The versions of a framework on offer, the default first; with ``editor``, those that come with it."""
        editors: dict[str, list[str]] = {}
        for entry in self.offered:
            if entry.framework == framework:
                editors.setdefault(entry.version, []).append(entry.editor)
        return tuple(
            Version(framework=framework, version=version, editors=tuple(with_it))
            for version, with_it in editors.items()
            if editor is None or editor in with_it
        )

    def deprecated_versions(self, framework: str) -> dict[str, str]:
        """The versions of a framework that no editor offers any more, and what to take instead of each."""
        on_offer = {version.version for version in self.versions(framework)}
        return {
            entry.version: entry.deprecated
            for entry in reversed(self.entries)
            if entry.framework == framework and entry.deprecated is not None and entry.version not in on_offer
        }

    def deprecation(self, editor: str) -> str | None:
        """What to take instead of an editor that is offered with nothing any more; None for any other."""
        texts = [entry.deprecated for entry in self.entries if entry.editor == editor]
        return next((text for text in texts if text is not None), None) if None not in texts else None

    def saved_paths(self, framework: str) -> tuple[str, ...]:
        """What of a framework's container is kept over a stop."""
        return tuple(
            dict.fromkeys(path for entry in self.entries if entry.framework == framework for path in entry.saved_paths)
        )

    def compatible_editors(self, framework: str) -> tuple[Editor, ...]:
        """The editors that a framework is offered with."""
        ids = {entry.editor for entry in self.offered if entry.framework == framework}
        return _among(self.editors, ids)

    def compatible_frameworks(self, editor: str) -> tuple[Framework, ...]:
        """The frameworks that an editor is offered with."""
        ids = {entry.framework for entry in self.offered if entry.editor == editor}
        return _among(self.frameworks, ids)

    def incompatible_with(self, editor: str) -> tuple[str, ...]:
        """The ids of the frameworks that an editor is not offered with."""
        compatible = {each.id for each in self.compatible_frameworks(editor)}
        return tuple(each.id for each in self.frameworks if each.id not in compatible)

    def image_names(self) -> tuple[str, ...]:
        """Every image of the catalogue, once."""
        return tuple(dict.fromkeys(entry.image for entry in self.entries))


def _among(items: Iterable[Item], ids: set[str]) -> tuple[Item, ...]:
    return tuple(item for item in items if item.id in ids)


def _swapped(editor: str, framework: str) -> NotFound:
    """What was given for the one is the other."""
    hint = f"the framework comes first: `notebookctl run {editor} {framework}`"
    cause = f"{framework!r} is an editor and {editor!r} a framework"
    details = {"part": "framework", "asked": framework, "known": [editor]}
    return NotFound(f"cannot find an image: {cause} ({hint})", hint=hint, details=details)


def _missing(kind: str, cause: str, asked: str, known: list[str]) -> NotFound:
    hint = did_you_mean(asked, known)
    message = f"cannot find an image: {cause}" + (f" ({hint})" if hint else "")
    return NotFound(message, hint=hint, details={"part": kind, "asked": asked, "known": known})
