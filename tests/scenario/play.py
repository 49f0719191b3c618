# SPDX-License-Identifier: Apache-2.0
"""What scenarios say and look at."""

from __future__ import annotations

from notebookd.domain.actor import Actor, Role
from notebookd.domain.container import ContainerStatus
from notebookd.domain.entry import Entry
from notebookd.domain.event import Event
from notebookd.domain.ids import NotebookId
from notebookd.domain.patch import Patch
from notebookd.domain.run import NotebookState, Run
from notebookd.domain.spec import ResourceWish, SpecWish
from notebookd.domain.volumes import Volume
from notebookd.ports.store import NotebookFilter
from notebookd.ports.wake import SURVEY
from notebookd.testing.engine import FakeContainer
from notebookd.testing.house import House, World

ALICE = Actor(name="alice", role=Role.OPERATOR)
BOB = Actor(name="bob", role=Role.OPERATOR)
ADMIN = Actor(name="root", role=Role.ADMIN)

STARTED = ["PENDING", "RUNNING"]
STOPPED = ["PENDING", "RUNNING", "INTERRUPTING", "FINALIZING", "INTERRUPTED"]


async def create(
    house: House,
    actor: Actor = ALICE,
    *,
    gpu: int | None = None,
    cpu: int | None = None,
    name: str | None = None,
    auto_restart: bool = False,
    volumes: tuple[Volume, ...] = (),
) -> NotebookId:
    """Ask for a notebook and wait until nothing happens any more."""
    wish = SpecWish(
        editor="jupyterlab",
        framework="conda",
        name=name,
        resources=ResourceWish(gpu=gpu, cpu=cpu),
        timeout_auto_restart=auto_restart,
        volumes=volumes,
    )
    made = await house.notebooks.create(actor, house.notebooks.check(wish), named=name is not None)
    await house.quiet()
    return made.notebook.id


async def patch(house: House, notebook: NotebookId, actor: Actor = ALICE, **changes: object) -> None:
    """Change a notebook."""
    await house.notebooks.update(actor, notebook, Patch(wish=SpecWish(**changes), given=frozenset(changes)))  # type: ignore[arg-type]
    await house.quiet()


def entry(house: House, notebook: NotebookId) -> Entry:
    """The notebook with its latest run."""
    found = house.store.find_entry(notebook)
    assert found is not None
    return found


def state(house: House, notebook: NotebookId) -> NotebookState:
    """The notebook's state as its user sees it."""
    return entry(house, notebook).state


def run_of(house: House, notebook: NotebookId) -> Run:
    """The latest run."""
    return entry(house, notebook).run


def history(house: House, notebook: NotebookId) -> list[str]:
    """The states of the latest run, in order."""
    return [str(each) for _, each in run_of(house, notebook).history]


def outcome(house: House, notebook: NotebookId) -> tuple[str, str]:
    """How the latest run ended, and the code that says why."""
    found = run_of(house, notebook).outcome
    assert found is not None
    return str(found.state), found.code


def why(house: House, notebook: NotebookId) -> str:
    """The sentences of why, in one."""
    return "\n".join(house.services.reasons.sentences(entry(house, notebook)))


def containers_of(world: World, notebook: NotebookId) -> list[FakeContainer]:
    """The containers labelled with the notebook."""
    return [each for each in world.engine.containers.values() if each.labels["io.notebookd.notebook"] == notebook]


def container_of(world: World, notebook: NotebookId) -> FakeContainer:
    """Its only container."""
    (found,) = containers_of(world, notebook)
    return found


def leased(house: House, notebook: NotebookId) -> list[str]:
    """The GPUs leased to its latest run."""
    run = run_of(house, notebook)
    return sorted(lease.gpu_uuid for lease in house.store.list_leases() if lease.run_id == run.id)


def events(house: House, notebook: NotebookId | None = None, after: int = 0) -> list[Event]:
    """The record."""
    return house.store.list_events(after=after, limit=10_000, notebook_id=notebook, owner=None)


async def look_around(house: House) -> None:
    """Have everything looked at."""
    house.reconciler.wake(SURVEY)
    await house.quiet()


def assert_sound(house: House) -> None:
    """What holds of every quiet world whose engine answers, whatever happened before.

    A RUNNING notebook has exactly one labelled container and it runs; one that ended has none; a lease belongs to a
    run that goes on with a container; no container belongs to nobody; nobody is stuck on the way.
    """
    world = house.world
    known: set[str] = set()
    held = {lease.run_id for lease in house.store.list_leases()}
    for notebook in _notebooks(house):
        known.add(notebook)
        mine, run = containers_of(world, notebook), run_of(house, notebook)
        if state(house, notebook) is NotebookState.RUNNING:
            assert [each.status for each in mine] == [ContainerStatus.RUNNING], f"{notebook} RUNNING with {mine}"
            assert mine[0].labels["io.notebookd.run"] == run.id
            assert len(leased(house, notebook)) == run.resources.gpus
            held.discard(run.id)
        elif run.waiting:
            assert not mine
        else:
            assert not run.active, f"{notebook} is stuck in {run.state}"
            assert not mine, f"{notebook} is {run.state} and left {mine}"
            assert not run.holds
    assert not held, "a lease without its container"
    assert {each.labels["io.notebookd.notebook"] for each in world.engine.containers.values()} <= known


def _notebooks(house: House) -> list[NotebookId]:
    entries, _total = house.store.list_entries(NotebookFilter(size=1000))
    return [each.notebook.id for each in entries]
