# SPDX-License-Identifier: Apache-2.0
"""What this tier stands on: the real engine by itself, set up as for the contract suite, and a whole notebookd."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.engine.live import Machine, odd_configuration, quickstart
from tests.engine.remote import Remote, serve_remote
from tests.figures import Rows
from tests.loops import TOPIC, logged, logged_line

if TYPE_CHECKING:
    from tests.contract.podman_world import PodmanWorld


@pytest.fixture
async def podman() -> AsyncIterator[PodmanWorld]:
    """An instance of its own on the engine that ``NOTEBOOKD_ENGINE`` names."""
    from tests.contract.podman_world import podman_world

    socket = os.environ.get("NOTEBOOKD_ENGINE")
    if not socket:
        pytest.skip("NOTEBOOKD_ENGINE names no engine")
    async with podman_world(Path(socket)) as world:
        yield world


@pytest.fixture(scope="session")
def outer(figures: dict[str, Rows]) -> Iterator[Machine]:
    """The notebookd that the tests run in. What held its loop up goes into the summary, where it was watched."""
    if not os.environ.get("NOTEBOOKD_SOCKET"):
        pytest.skip("NOTEBOOKD_SOCKET names no notebookd: run contrib/quickstart --gpus 8 -- pytest tests/engine")
    machine = Machine(environment=dict(os.environ))
    yield machine
    if os.environ.get("NOTEBOOKD_LOOP_WATCH"):
        figures.setdefault(TOPIC, {})["engine tier, the real daemon"] = logged_line(logged(machine.log()))


@pytest.fixture
def live(outer: Machine) -> Iterator[Machine]:
    """The notebookd that the tests run in; what a test made or broke there is put in order after it."""
    yield outer
    outer.clean_up()


@pytest.fixture(scope="session")
def odd_machine(outer: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One more, whose catalogue holds editors that misbehave."""
    config = tmp_path_factory.mktemp("odd") / "notebookd.toml"
    config.write_text(odd_configuration())
    with quickstart("--gpus", "4", "--config", str(config)) as machine:
        yield machine


@pytest.fixture
def odd(odd_machine: Machine) -> Iterator[Machine]:
    """The one with editors that misbehave, put in order after each test."""
    yield odd_machine
    odd_machine.clean_up()


@pytest.fixture(scope="session")
def remote() -> Iterator[Remote]:
    """A place for data that rclone reaches."""
    with serve_remote() as served:
        yield served


@pytest.fixture(scope="session")
def data_machine(outer: Machine, remote: Remote) -> Iterator[Machine]:
    """One more, with a datastore on that place, that keeps snapshots at each stop."""
    with quickstart("--gpus", "1", "--config", str(remote.config)) as machine:
        yield machine
