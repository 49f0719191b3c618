# SPDX-License-Identifier: Apache-2.0
"""Recipes of images: a folder of folders."""

from __future__ import annotations

import asyncio
import io
import re
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from notebookd.config.images import parse_reference
from notebookd.errors import EngineError
from notebookd.ports.images import Recipe

CONTAINERFILE = "Containerfile"
CATALOGUE = "catalogue.toml"
LARGEST_BYTES = 64 * 1024 * 1024
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_BASE = re.compile(r"^ARG[ \t]+BASE=\"?([^\s\"]+)\"?[ \t]*$", re.MULTILINE)


class RecipeFolder:
    """See :class:`~notebookd.ports.images.Recipes`; ``folder`` need not be there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def list_recipes(self) -> list[Recipe]:
        """All of them, by name."""
        return await asyncio.to_thread(lambda: list(_recipes(self.folder)))

    async def read(self, recipe: Recipe) -> bytes:
        """The folder as a tar archive, of nobody's and of no time: the same folder gives the same bytes."""
        try:
            return await asyncio.to_thread(_archive, self.folder / recipe.name)
        except OSError as fault:
            raise EngineError(f"cannot read recipe {recipe.name}: {fault.strerror or fault}") from fault


def _recipes(folder: Path) -> Iterator[Recipe]:
    try:
        names = sorted(each.name for each in folder.iterdir())
    except OSError:
        return
    for name in names:
        if NAME.fullmatch(name) and (folder / name / CONTAINERFILE).is_file():
            yield _recipe(folder / name)


def _recipe(folder: Path) -> Recipe:
    try:
        base = _BASE.search((folder / CONTAINERFILE).read_text(encoding="utf-8-sig"))
        entries = tomllib.loads((folder / CATALOGUE).read_text(encoding="utf-8-sig"))["image"]
        images = tuple(dict.fromkeys(parse_reference(entry["image"]) for entry in entries))
    except FileNotFoundError:
        return Recipe(name=folder.name, fault=f"it has no {CATALOGUE}")
    except (OSError, ValueError) as fault:
        return Recipe(name=folder.name, fault=f"its files cannot be read: {fault}")
    except (KeyError, TypeError):
        return Recipe(name=folder.name, fault=f"its {CATALOGUE} names no image")
    return Recipe(name=folder.name, images=images, base=base[1] if base else None)


def _archive(folder: Path) -> bytes:
    buffer, size = io.BytesIO(), 0
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            entry = archive.gettarinfo(path, str(path.relative_to(folder)))
            if entry is None or not (entry.isfile() or entry.isdir() or entry.issym()):
                continue
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.mtime = 0
            size += entry.size
            if size > LARGEST_BYTES:
                raise OSError(f"it is larger than {LARGEST_BYTES >> 20} MiB")
            if entry.isfile():
                with path.open("rb") as file:
                    archive.addfile(entry, file)
            else:
                archive.addfile(entry)
    return buffer.getvalue()
