# SPDX-License-Identifier: Apache-2.0
"""Images on a real Podman, beyond the contract: what a registry has, and what a container keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import pytest

from notebookd.adapters.podman.images import PodmanImages
from tests.contract.podman_world import PodmanWorld, busybox_tar, eventually
from tests.contract.test_images_contract import recipe
from tests.contract.toy_registry import toy_registry
from tests.engine.live import quickstart, root

pytestmark = pytest.mark.engine


@pytest.fixture
def registry() -> Iterator[str]:
    """The name of an image that can be pulled: over plain HTTP, which Podman must be told of."""
    with toy_registry(busybox_tar()) as name:
        yield name


@asynccontextmanager
async def engine_that_trusts(name: str) -> AsyncIterator[PodmanImages]:
    """The images of an engine of its own, before it has read which registries there are."""
    with quickstart("--engine-only") as machine:
        settings = machine.run_folder / "engine/home/.config/containers/registries.conf"
        text = f'[[registry]]\nlocation = "{name.partition("/")[0]}"\ninsecure = true\n'
        root("tee", str(settings), text=text)
        root("chmod", "0644", str(settings))
        async with PodmanImages.open(machine.engine) as images:
            yield images


async def test_an_image_is_pulled_from_its_registry_and_its_bytes_are_told(registry: str) -> None:
    async with engine_that_trusts(registry) as images:
        said = [each async for each in images.pull(registry)]
        assert any(each.text.startswith(("Download", "Pull")) for each in said)
        found = await images.find_image(registry)
        assert found is not None
        assert found.names == (registry,)
        assert found.size_bytes > 1_000_000
        await images.prepare(found.digest, uid=42420)
        await images.remove(registry)
        assert await images.find_image(registry) is None


async def test_a_container_keeps_its_image_over_a_restart_and_can_be_made_anew_of_it(podman: PodmanWorld) -> None:
    name = "localhost/notebookd-test/moved:1"
    async with PodmanImages.open(podman.socket) as images:
        older, newer = [await built(images, name, mark) for mark in ("older", "newer")]
        spec = podman.spec("sh", "-c", "echo $MARK; sleep 300")
        for image, mark in ((older, "older"), (name, "newer")):
            each = replace(spec, name=f"{spec.name}-{mark}", image=image)
            await podman.engine.create(each)
            started = await podman.engine.start(each.name)
            assert started.image_digest == (older if mark == "older" else newer)
            lines = await eventually(partial(said, podman, each.name), bool)
            assert lines[0] == mark
            await podman.engine.stop(each.name, grace_s=0)
            assert (await podman.engine.start(each.name)).image_digest == started.image_digest
            await podman.engine.remove(each.name)
        for reference in (older, name):
            await images.remove(reference)


async def built(images: PodmanImages, name: str, mark: str) -> str:
    context = recipe("FROM localhost/notebookd-test/busybox:1", f"ENV MARK={mark}")
    _ = [each async for each in images.build(context, names=(name,), base=None)]
    found = await images.find_image(name)
    assert found is not None
    return found.digest


async def said(podman: PodmanWorld, name: str) -> list[str]:
    return [line.content async for line in podman.engine.logs(name)]
