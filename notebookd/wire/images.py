# SPDX-License-Identifier: Apache-2.0
"""Images of the engine, what is done about them, and how long the steps of a start took. All of it is ours."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from notebookd.wire.base import Answer, Request, Time, Uuid
from notebookd.wire.machine import Refusal

__all__ = [
    "CatalogueUse",
    "Image",
    "ImageList",
    "ImageOrder",
    "ImageProgress",
    "ImageRecipe",
    "ImageUser",
    "TimingStep",
    "Timings",
]


class ImageOrder(Request, frozen=True):
    """Body of ``POST /v1/image``: ``pull`` an image by its name, ``build`` a recipe by its name, on another ``base``
    if that is given, or ``prepare`` an image that is there for starting quickly."""

    action: Literal["build", "prepare", "pull"]
    name: str
    base: str | UnsetType | None = UNSET


class CatalogueUse(Answer, frozen=True):
    """An entry of the catalogue that an image stands behind."""

    editor: str
    framework: str
    version: str
    deprecated: str | UnsetType = UNSET


class ImageUser(Answer, frozen=True):
    """A notebook that runs, or is about to run, on an image."""

    notebook: Uuid
    name: str
    owner: str


class Image(Answer, frozen=True):
    """An image by one of its names. One that is not ``present`` is missing: the catalogue names it. One without a name
    lost it to a newer image. ``notebooks`` are those that the caller may see, ``in_use`` counts all. ``prepared_for``
    are the uids for which its first start does not wait; ``size`` is in bytes, layers that others share included.
    ``obtained`` tells by what it came, when and by whom, if that was notebookd. ``busy`` is what goes on with it."""

    present: bool
    catalogue: list[CatalogueUse]
    notebooks: list[ImageUser]
    in_use: int
    prepared_for: list[int]
    name: str | UnsetType = UNSET
    digest: str | UnsetType = UNSET
    size: int | UnsetType = UNSET
    created_at: Time | UnsetType = UNSET
    obtained_by: str | UnsetType = UNSET
    obtained_at: Time | UnsetType = UNSET
    busy: str | UnsetType = UNSET


class ImageRecipe(Answer, frozen=True):
    """What can be built: the images that it makes, what it starts from, or why it cannot be used."""

    name: str
    images: list[str]
    base: str | UnsetType = UNSET
    fault: str | UnsetType = UNSET


class ImageList(Answer, frozen=True):
    """The images, and the recipes on this machine."""

    items: list[Image]
    recipes: list[ImageRecipe]


class ImageProgress(Answer, frozen=True):
    """A line of the answer to an order: how it gets on, with bytes where they are known. The last line has the
    ``images``, or the ``error`` for which there are none."""

    text: str | UnsetType = UNSET
    done: int | UnsetType = UNSET
    total: int | UnsetType = UNSET
    images: list[Image] | UnsetType = UNSET
    error: Refusal | UnsetType = UNSET


class TimingStep(Answer, frozen=True):
    """A step of a start: when it was done, and the milliseconds since the step before."""

    step: str
    at: Time
    milliseconds: float


class Timings(Answer, frozen=True):
    """Where the time of a notebook's latest start went."""

    notebook: Uuid
    run: int
    items: list[TimingStep]
    total: float
