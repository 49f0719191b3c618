# SPDX-License-Identifier: Apache-2.0
"""The images of an engine in memory: what :class:`~notebookd.testing.engine_world.FakeEngineWorld` has of them.

``world.registry`` holds what can be pulled. Of a Containerfile it understands ``ARG BASE=``, ``FROM``, ``RUN exit N``.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

from notebookd.errors import EngineError, ImageInUse, ImageMissing
from notebookd.ports.engine import Image
from notebookd.ports.images import Progress, StoredImage
from notebookd.testing.engine_world import FakeEngineWorld

_BORN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class FakeImages:
    """An :class:`~notebookd.ports.images.ImageStore` on a :class:`FakeEngineWorld`."""

    def __init__(self, world: FakeEngineWorld) -> None:
        self.world = world

    async def list_images(self) -> list[StoredImage]:
        """See :meth:`ImageStore.list_images`."""
        async with self.world.call("list_images"):
            return [_stored(image) for image in self.world.images.values()]

    async def find_image(self, reference: str) -> StoredImage | None:
        """See :meth:`ImageStore.find_image`."""
        async with self.world.call("find_image", reference):
            image = self.world.image(reference)
            return None if image is None else _stored(image)

    async def pull(self, reference: str) -> AsyncIterator[Progress]:
        """See :meth:`ImageStore.pull`."""
        async with self.world.call("pull", reference):
            yield Progress(text=f"Pulling {reference}")
            image = self.world.registry.get(reference)
            if image is None:
                raise EngineError(f"cannot pull image {reference}: manifest unknown")
            for done in (image.size_bytes // 2, image.size_bytes):
                yield Progress(text="Downloading", done_bytes=done, total_bytes=image.size_bytes)
            self.world.put_image(replace(image, names=(reference,)))

    async def build(self, context: bytes, *, names: tuple[str, ...], base: str | None) -> AsyncIterator[Progress]:
        """See :meth:`ImageStore.build`."""
        async with self.world.call("build", names[0]):
            with tarfile.open(fileobj=io.BytesIO(context)) as archive:
                file = archive.extractfile("Containerfile")
                lines = file.read().decode().splitlines() if file else []
            default = next((line.partition("=")[2] for line in lines if line.startswith("ARG BASE=")), "")
            for number, line in enumerate(lines, 1):
                yield Progress(text=f"STEP {number}/{len(lines)}: {line}")
                self._step(line.replace("${BASE}", base or default), names[0])
            digest = "sha256:" + hashlib.sha256(context + (base or "").encode()).hexdigest()
            self.world.put_image(Image(digest=digest, names=names, size_bytes=len(context)))

    def _step(self, line: str, name: str) -> None:
        if line.startswith("FROM ") and self.world.image(line.removeprefix("FROM ")) is None:
            raise EngineError(f"cannot build image {name}: {line.removeprefix('FROM ')}: image not known")
        if ended := re.fullmatch(r"RUN exit ([1-9][0-9]*)", line):
            raise EngineError(f"cannot build image {name}: exit status {ended[1]}")

    async def prepare(self, digest: str, *, uid: int) -> None:
        """See :meth:`ImageStore.prepare`."""
        async with self.world.call("prepare", digest):
            if self.world.image(digest) is None:
                raise ImageMissing(f"cannot prepare image {digest}: there is none")
            self.world.prepared.add((digest, uid))

    async def remove(self, reference: str) -> None:
        """See :meth:`ImageStore.remove`."""
        async with self.world.call("remove_image", reference):
            image = self.world.image(reference)
            if image is None:
                raise ImageMissing(f"cannot remove image {reference}: there is none")
            left = tuple(name for name in image.names if name != reference)
            gone = reference == image.digest or not left
            if gone and any(each.image_digest == image.digest for each in self.world.containers.values()):
                raise ImageInUse(f"cannot remove image {reference}: a container is made of it")
            key = next(key for key, each in self.world.images.items() if each is image)
            del self.world.images[key]
            if not gone:
                self.world.images[left[0]] = replace(image, names=left)


def _stored(image: Image) -> StoredImage:
    return StoredImage(digest=image.digest, names=image.names, size_bytes=image.size_bytes, created_at=_BORN)
