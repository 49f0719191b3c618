# SPDX-License-Identifier: Apache-2.0
"""The images port: what an admin asks of the engine's storage of images, and where recipes come from.

:class:`ImageStore` is implemented by :mod:`notebookd.adapters.podman.images` (real) and
:mod:`notebookd.testing.images` (fake); both pass ``tests/contract/test_images_contract.py``. Every method may raise
:class:`~notebookd.errors.EngineUnavailable`, which means *unknown*, never "absent". Names were checked before:
:func:`notebookd.config.images.parse_reference`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image in the engine's storage. ``digest`` is its id, ``sha256:<hex>``; ``names`` are full, with a tag, and
    there may be none: a newer image took them. The size counts layers that it shares with others, too."""

    digest: str
    names: tuple[str, ...]
    size_bytes: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How a pull or a build gets on: a line for people, and bytes where they are known."""

    text: str
    done_bytes: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What an image is built from: a folder with a Containerfile and a ``catalogue.toml``. ``images`` are the names
    that it makes, ``base`` is what it starts from unless told otherwise; ``fault`` says why it cannot be used."""

    name: str
    images: tuple[str, ...] = ()
    base: str | None = None
    fault: str | None = None


class ImageStore(Protocol):
    """The images of the service's account. Nothing of a pull or a build that breaks off has the name asked for."""

    async def list_images(self) -> list[StoredImage]:
        """All images, without the layers that builds left behind."""
        ...

    async def find_image(self, reference: str) -> StoredImage | None:
        """The image of that name or digest, None when it is absent."""
        ...

    def pull(self, reference: str) -> AsyncIterator[Progress]:
        """Fetch an image from its registry; it is there when the iterator ends. Closing the iterator earlier gives it
        up. Raises EngineError with the registry's words."""
        ...

    def build(self, context: bytes, *, names: tuple[str, ...], base: str | None) -> AsyncIterator[Progress]:
        """Build a tar archive with a Containerfile and give the image those names, which an older one then loses.
        ``base`` is the build argument ``BASE``. Closing the iterator earlier gives it up. Raises EngineError with the
        build's words."""
        ...

    async def prepare(self, digest: str, *, uid: int) -> None:
        """See to it that the first container under the mapping of that uid does not wait for its layers to be made
        over. Nothing of the image is run. Idempotent. Raises ImageMissing, EngineError."""
        ...

    async def remove(self, reference: str) -> None:
        """Take a name, or a digest, away; with its last name the image goes. Raises ImageMissing, ImageInUse while a
        container of anybody is made of it, EngineError."""
        ...


class Recipes(Protocol):
    """The recipes on this machine."""

    async def list_recipes(self) -> list[Recipe]:
        """All of them, by name."""
        ...

    async def read(self, recipe: Recipe) -> bytes:
        """Its folder as a tar archive. Raises EngineError where it cannot be read, or is too large."""
        ...
