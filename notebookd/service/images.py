# SPDX-License-Identifier: Apache-2.0
"""What an admin may do about images: pull, build, prepare, remove; and what everybody may know of them.

An order lives as long as the connection that it came by: whoever hangs up gives it up, and nothing half made bears the
name that was asked for. What came of an order is an event, and a record beside the image's digest.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from notebookd.config.images import USER_UID, parse_reference
from notebookd.domain.actor import Actor
from notebookd.domain.catalogue import CatalogueEntry
from notebookd.domain.entry import Entry
from notebookd.domain.event import Event
from notebookd.domain.rules import RulesNow
from notebookd.domain.run import Run
from notebookd.errors import (
    Conflict,
    EngineError,
    EngineUnavailable,
    ImageInUse,
    ImageMissing,
    InvalidRequest,
    NotFound,
)
from notebookd.ports.clock import Clock
from notebookd.ports.images import ImageStore, Progress, Recipe, Recipes, StoredImage
from notebookd.ports.store import Store

RECORDS = "images"
_LOCAL = "localhost/"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What notebookd knows of an image beyond what the engine does."""

    how: str | None = None
    by: str | None = None
    at: datetime | None = None
    prepared_for: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRow:
    """An image by one of its names (None: it has none), or a name of the catalogue that no image has."""

    name: str | None
    image: StoredImage | None
    entries: tuple[CatalogueEntry, ...]
    users: tuple[Entry, ...]
    record: Record
    busy: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Something to be done: ``pull`` or ``prepare`` an image, ``build`` a recipe."""

    action: str
    name: str
    base: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """An order that was admitted: the names that it is about, and its carrying out."""

    names: tuple[str, ...]
    steps: AsyncIterator[Progress]


class Images:
    """The images of this machine."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        images: ImageStore,
        recipes: Recipes,
        rules: RulesNow,
        *,
        require_room: Callable[[str], Awaitable[None]],
    ) -> None:
        self._rules = rules
        self._store = store
        self._clock = clock
        self._images = images
        self._recipes = recipes
        self._require_room = require_room
        self.busy: dict[str, str] = {}
        """What goes on, by the names and digests that it is about."""

    # What there is

    async def list_rows(self) -> list[ImageRow]:
        """Every name of every image, those without one, and what is missing."""
        present = await self._images.list_images()
        known = {name: image for image in present for name in image.names}
        asked = {entry.image: known.get(_full(entry.image)) for entry in self._rules().catalogue.entries}
        for name, image in asked.items():
            asked[name] = image or await self._images.find_image(name)
        records, runs = self._records(), self._store.list_unsettled()
        rows: list[ImageRow] = [
            self._row(name, image, asked, records, runs)
            for image in sorted(present, key=lambda each: each.names or ("\uffff", each.digest))
            for name in image.names or (None,)
        ]
        absent = [name for name, image in asked.items() if image is None]
        listed = {*known, *map(_full, absent)}
        absent += [name for name in self.busy if name not in listed and not _DIGEST.fullmatch(name)]
        return rows + [self._row(name, None, asked, records, runs) for name in absent]

    async def rows_of(self, names: Iterable[str]) -> list[ImageRow]:
        """The rows of the images of these names or digests."""
        found = [await self._images.find_image(name) for name in names]
        digests = {image.digest for image in found if image is not None}
        return [row for row in await self.list_rows() if row.image is not None and row.image.digest in digests]

    async def list_recipes(self) -> list[Recipe]:
        """What can be built."""
        return await self._recipes.list_recipes()

    def _row(
        self,
        name: str | None,
        image: StoredImage | None,
        asked: dict[str, StoredImage | None],
        records: dict[str, Record],
        entries: Iterable[Entry],
    ) -> ImageRow:
        def is_meant_by(word: str) -> bool:
            found = asked.get(word)
            if image is None or found is None:
                return word == name and image is None
            return found.digest == image.digest and (_full(word) == name or _full(word) not in image.names)

        digest = image.digest if image is not None else ""
        return ImageRow(
            name=name,
            image=image,
            entries=tuple(entry for entry in self._rules().catalogue.entries if is_meant_by(entry.image)),
            users=tuple(each for each in entries if _uses(each.run, name, digest)),
            record=records.get(digest, Record()),
            busy=self.busy.get(_full(name) if name else digest) or self.busy.get(digest),
        )

    # What is done

    @asynccontextmanager
    async def admitted(self, actor: Actor, order: Order) -> AsyncIterator[Work]:
        """Check an order, and hold its names for as long as the block runs. Iterating over its steps carries it out,
        leaving the block earlier gives it up. Raises InvalidRequest, NotFound, Conflict; the steps EngineError."""
        match order.action:
            case "build":
                recipe = await self._get_recipe(order.name)
                base = self._checked(order.base, "$.base") if order.base else None
                await self._require_base(recipe, base or recipe.base)
                names, steps = recipe.images, self._build(actor, recipe, base)
            case "pull":
                names, steps = (self._checked(order.name, "$.name"),), self._pull(actor, order.name)
            case _:
                image = await self._get(order.name, "prepare")
                names, steps = (image.digest,), self._prepare(image)
        if order.action != "prepare":
            await self._require_room(f"{order.action} {order.name}")
        with self._alone(names, order.action):
            async with aclosing(steps):  # type: ignore[type-var]
                yield Work(names=names, steps=steps)

    async def remove(self, actor: Actor, name: str) -> None:
        """Take a name away, and the image with its last one. Not while a notebook runs on it."""
        image = await self._get(name, "remove")
        going = (_full(name),) if _full(name) in image.names else image.names
        users = [each for each in self._store.list_unsettled() if await self._stands_on(each.run, image, going)]
        if users:
            listed = ", ".join(f"{each.notebook.spec.name} ({each.notebook.owner})" for each in users)
            raise Conflict(
                f"cannot remove image {name}: notebooks run on it: {listed}",
                hint="stop them first",
                details={"notebooks": [each.notebook.id for each in users]},
            )
        with self._alone((_full(name), image.digest), "remove"):
            try:
                await self._images.remove(name)
            except ImageMissing as fault:
                raise NotFound(fault.message) from fault
            except EngineUnavailable:
                raise
            except ImageInUse as fault:
                raise Conflict(fault.message, hint="a container of it is still to be removed: try again") from fault
            except EngineError as fault:
                raise Conflict(fault.message, hint=fault.hint) from fault
            await self._note(actor, "image.removed", [name], image)

    async def _stands_on(self, run: Run, image: StoredImage, names: tuple[str, ...]) -> bool:
        """Whether a run is on an image, or will be by one of these names of it."""
        if not run.active or run.image_digest:
            return _uses(run, None, image.digest)
        found = await self._images.find_image(run.image)
        full = _full(run.image)
        return found is not None and found.digest == image.digest and (full in names or full not in image.names)

    async def _pull(self, actor: Actor, name: str) -> AsyncIterator[Progress]:
        async with aclosing(self._images.pull(name)) as steps:  # type: ignore[type-var]
            async for step in steps:
                yield step
        async for step in self._finished(actor, "image.pulled", (name,)):
            yield step

    async def _build(self, actor: Actor, recipe: Recipe, base: str | None) -> AsyncIterator[Progress]:
        context = await self._recipes.read(recipe)
        async with aclosing(self._images.build(context, names=recipe.images, base=base)) as steps:  # type: ignore[type-var]
            async for step in steps:
                yield step
        async for step in self._finished(actor, "image.built", recipe.images):
            yield step

    async def _finished(self, actor: Actor, event: str, names: tuple[str, ...]) -> AsyncIterator[Progress]:
        image = await self._get(names[0], "find")
        record = replace(
            self._records().get(image.digest, Record()), how=event, by=actor.signature, at=self._clock.now()
        )
        await self._note(actor, event, list(names), image, record)
        async for step in self._prepare(image):
            yield step

    async def _prepare(self, image: StoredImage) -> AsyncIterator[Progress]:
        for uid in await self._uids(image):
            yield Progress(text=f"preparing the layers for uid {uid}")
            await self._images.prepare(image.digest, uid=uid)
            record = self._records().get(image.digest, Record())
            prepared = tuple(sorted({*record.prepared_for, uid}))
            await self._keep({**self._records(), image.digest: replace(record, prepared_for=prepared)})

    async def _uids(self, image: StoredImage) -> list[int]:
        """The uids that notebooks of it run as, by whatever name or digest the catalogue has it."""
        uids = set()
        for entry in self._rules().catalogue.entries:
            found = image if _full(entry.image) in image.names else await self._images.find_image(entry.image)
            if found is not None and found.digest == image.digest:
                uids.add(entry.uid)
        return sorted(uids) or [USER_UID]

    # What stands behind it

    async def _get(self, name: str, verb: str) -> StoredImage:
        if not _DIGEST.fullmatch(name):
            self._checked(name, "$.name")
        image = await self._images.find_image(name)
        if image is None:
            raise NotFound(f"cannot {verb} image {name}: there is none of that name", hint="see `notebookctl image`")
        return image

    def _checked(self, name: str, path: str) -> str:
        """A name that came from outside. Raises InvalidRequest."""
        try:
            return parse_reference(name)
        except ValueError as fault:
            faults = [{"path": path, "message": str(fault)}]
            raise InvalidRequest(f"cannot use that image: {path}: {fault}", details={"faults": faults}) from fault

    async def _get_recipe(self, name: str) -> Recipe:
        recipes = await self._recipes.list_recipes()
        recipe = next((each for each in recipes if each.name == name), None)
        if recipe is None:
            known = ", ".join(each.name for each in recipes)
            folder = "this machine has none: [images] recipes in the configuration names the folder that they lie in"
            raise NotFound(
                f"cannot build {name!r}: there is no such recipe on this machine",
                hint=f"there are: {known}" if known else folder,
            )
        if recipe.fault is not None or not recipe.images:
            raise Conflict(f"cannot build recipe {name}: {recipe.fault or 'it names no image'}")
        return recipe

    async def _require_base(self, recipe: Recipe, base: str | None) -> None:
        """What is of this machine alone is asked of no registry: it must be there."""
        if base is None or not base.startswith(_LOCAL) or await self._images.find_image(base) is not None:
            return
        makers = [
            each.name for each in await self._recipes.list_recipes() if base in each.images and each.name != recipe.name
        ]
        hint = f"notebookctl image build {makers[0]}" if makers else "name another with --base, such as debian:12"
        raise Conflict(f"cannot build recipe {recipe.name}: its base {base} is not there", hint=hint)

    @contextmanager
    def _alone(self, names: Iterable[str], doing: str) -> Iterator[None]:
        """Hold these names. Raises Conflict where something goes on with one of them."""
        held = tuple(dict.fromkeys(map(_full, names)))
        for name in held:
            if name in self.busy:
                raise Conflict(f"cannot {doing} image {name}: somebody's {self.busy[name]} of it goes on")
        self.busy.update(dict.fromkeys(held, doing))
        try:
            yield
        finally:
            for name in held:
                del self.busy[name]

    def _records(self) -> dict[str, Record]:
        rows: dict[str, dict[str, Any]] = json.loads(self._store.find_meta(RECORDS) or "{}")
        return {
            digest: Record(
                how=row.get("how"),
                by=row.get("by"),
                at=datetime.fromisoformat(row["at"]) if row.get("at") else None,
                prepared_for=tuple(row.get("prepared_for", ())),
            )
            for digest, row in rows.items()
        }

    async def _note(
        self, actor: Actor, event: str, names: list[str], image: StoredImage, record: Record | None = None
    ) -> None:
        data = {"names": names, "digest": image.digest, "sizeBytes": image.size_bytes}
        records = self._records()
        if record is not None:
            records[image.digest] = record
        await self._keep(records, Event(type=event, at=self._clock.now(), actor=actor.signature, data=data))

    async def _keep(self, records: dict[str, Record], event: Event | None = None) -> None:
        """Write the records of the images that there still are, and an event with them."""
        present = {image.digest for image in await self._images.list_images()}
        rows = {
            digest: {"how": each.how, "by": each.by, "prepared_for": each.prepared_for}
            | ({"at": each.at.isoformat()} if each.at else {})
            for digest, each in records.items()
            if digest in present
        }
        async with self._store.transaction() as tx:
            await tx.put_meta(RECORDS, json.dumps(rows))
            if event is not None:
                await tx.append(event)


def _uses(run: Run, name: str | None, digest: str) -> bool:
    """Whether a run stands on an image: on the digest that it started with, or else on the name that it will."""
    if not run.active:
        return False
    return run.image_digest == digest if run.image_digest else name is not None and _full(run.image) == _full(name)


def _full(name: str) -> str:
    """A name as the engine lists it, with a tag."""
    if _DIGEST.fullmatch(name) or "@" in name or ":" in name.rpartition("/")[2]:
        return name
    return f"{name}:latest"
