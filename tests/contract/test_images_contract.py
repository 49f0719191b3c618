# SPDX-License-Identifier: Apache-2.0
"""What every store of images does, tried on the fake and on a real Podman (marker ``engine``)."""

from __future__ import annotations

import io
import os
import tarfile
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from notebookd.adapters.podman.images import PodmanImages
from notebookd.errors import EngineError, EngineUnavailable, ImageInUse, ImageMissing
from notebookd.ports.images import ImageStore, Progress, StoredImage
from notebookd.testing.engine_world import FakeEngineWorld
from notebookd.testing.images import FakeImages
from tests.contract.engine_worlds import EngineWorld, FakeWorld
from tests.contract.podman_world import IMAGE, podman_world
from tests.contract.toy_registry import toy_registry

NOBODYS = f"sha256:{'0' * 64}"


@dataclass(slots=True, kw_only=True)
class World:
    """A store, an engine beside it, and a store that does not answer. Names that it gives are nobody else's."""

    images: ImageStore
    nowhere: ImageStore
    engine: EngineWorld
    made: list[str] = field(default_factory=list)

    def name(self) -> str:
        self.made.append(f"localhost/notebookd-test/{uuid.uuid4().hex[:8]}:1")
        return self.made[-1]

    async def build(self, *names: str, lines: tuple[str, ...] = (), base: str | None = IMAGE) -> list[Progress]:
        context = recipe("ARG BASE=nothing", "FROM ${BASE}", *lines)
        return [each async for each in self.images.build(context, names=names, base=base)]

    async def built(self, *names: str, mark: str = "a") -> StoredImage:
        await self.build(*names, lines=(f"ENV MARK={mark}{names[0]}",))
        return await self.get(names[0])

    async def get(self, reference: str) -> StoredImage:
        found = await self.images.find_image(reference)
        assert found is not None
        return found

    async def clean(self) -> None:
        for row in await self.images.list_images():
            if set(row.names) & set(self.made) or not row.names:
                for reference in row.names or (row.digest,):
                    await self.images.remove(reference)


def recipe(*lines: str) -> bytes:
    text = "\n".join(lines).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("Containerfile")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return buffer.getvalue()


@pytest.fixture(params=["fake", pytest.param("podman", marks=pytest.mark.engine)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "fake":
        fake = FakeWorld()
        dead = FakeEngineWorld(fake.world.now)
        dead.reachable = False
        yield World(images=FakeImages(fake.world), nowhere=FakeImages(dead), engine=fake)
        return
    socket = os.environ.get("NOTEBOOKD_ENGINE")
    if not socket:
        pytest.skip("NOTEBOOKD_ENGINE names no engine")
    async with (
        PodmanImages.open(Path(socket)) as images,
        PodmanImages.open(Path("/nonexistent/engine.sock")) as nowhere,
        podman_world(Path(socket)) as real,
    ):
        made = World(images=images, nowhere=nowhere, engine=real)
        try:
            yield made
        finally:
            await real.clean_containers()
            await made.clean()


async def test_a_build_gives_its_names_and_tells_its_steps(world: World) -> None:
    first, second = world.name(), world.name()
    said = await world.build(first, second, lines=("ENV COLOUR=teal",))
    assert any("ENV COLOUR=teal" in each.text for each in said)
    image = await world.get(first)
    assert set(image.names) == {first, second}
    assert image.digest.startswith("sha256:")
    assert image.size_bytes > 0
    listed = [each for each in await world.images.list_images() if each.digest == image.digest]
    assert [set(each.names) for each in listed] == [{first, second}]
    by_digest = await world.get(image.digest)
    assert by_digest.digest == image.digest


async def test_a_newer_image_takes_the_name_and_the_older_stays_by_its_digest(world: World) -> None:
    name = world.name()
    older, newer = await world.built(name, mark="a"), await world.built(name, mark="b")
    assert older.digest != newer.digest
    left = await world.get(older.digest)
    assert left.names == ()
    assert (await world.get(name)).digest == newer.digest
    assert {older.digest, newer.digest} <= {each.digest for each in await world.images.list_images()}


async def test_a_build_that_fails_leaves_the_name_where_it_was(world: World) -> None:
    name, absent = world.name(), world.name()
    older = await world.built(name)
    with pytest.raises(EngineError, match="exit status 3"):
        await world.build(name, lines=("RUN exit 3",))
    assert (await world.get(name)).digest == older.digest
    with pytest.raises(EngineError):
        await world.build(absent, lines=("RUN exit 3",))
    assert await world.images.find_image(absent) is None


async def test_a_build_without_its_base_fails(world: World) -> None:
    with pytest.raises(EngineError, match="cannot build image"):
        await world.build(world.name(), base=NOBODYS)


async def test_a_build_that_is_left_early_names_nothing(world: World) -> None:
    name = world.name()
    context = recipe(f"FROM {IMAGE}", "RUN sleep 1", "ENV COLOUR=teal")
    async with aclosing(world.images.build(context, names=(name,), base=None)) as steps:  # type: ignore[type-var]
        async for step in steps:
            assert step.text
            break
    await world.engine.elapse(1.5)
    assert await world.images.find_image(name) is None


async def test_what_no_registry_has_cannot_be_pulled(world: World) -> None:
    with toy_registry(b"") as there:  # it speaks no TLS, and nobody said that this is all right
        name = there.replace("tiny", "none")
        with pytest.raises(EngineError, match="cannot pull image 127"):
            _ = [each async for each in world.images.pull(name)]
    assert await world.images.find_image(name) is None


async def test_preparing_leaves_nothing_and_may_be_repeated(world: World) -> None:
    image = await world.built(world.name())
    for uid in (1000, 42420, 42420):
        await world.images.prepare(image.digest, uid=uid)
    assert await world.engine.engine.list_containers() == []
    await world.images.remove(image.names[0])
    assert await world.images.find_image(image.digest) is None
    with pytest.raises(ImageMissing):
        await world.images.prepare(NOBODYS, uid=1000)


async def test_an_image_goes_with_its_last_name(world: World) -> None:
    first, second = world.name(), world.name()
    image = await world.built(first, second)
    await world.images.remove(first)
    assert (await world.get(image.digest)).names == (second,)
    await world.images.remove(second)
    assert await world.images.find_image(image.digest) is None
    for reference in (second, image.digest):
        with pytest.raises(ImageMissing):
            await world.images.remove(reference)


async def test_an_image_without_a_name_is_removed_by_its_digest(world: World) -> None:
    name = world.name()
    older = await world.built(name, mark="a")
    await world.built(name, mark="b")
    await world.images.remove(older.digest)
    assert await world.images.find_image(older.digest) is None


async def test_an_image_that_a_container_is_made_of_stays(world: World) -> None:
    name = world.name()
    image = await world.built(name)
    spec = replace(world.engine.spec("true"), image=image.digest)
    await world.engine.engine.create(spec)
    for reference in (name, image.digest):
        with pytest.raises(ImageInUse):
            await world.images.remove(reference)
    await world.engine.engine.remove(spec.name)
    await world.images.remove(name)


async def test_an_engine_that_does_not_answer_is_unavailable(world: World) -> None:
    nowhere = world.nowhere
    for ask in (nowhere.list_images(), nowhere.find_image("a:1"), nowhere.prepare(NOBODYS, uid=1), nowhere.remove("a")):
        with pytest.raises(EngineUnavailable):
            await ask
    for begun in (nowhere.pull("a:1"), nowhere.build(recipe("FROM a"), names=("a:1",), base=None)):
        with pytest.raises(EngineUnavailable):
            _ = [each async for each in begun]
