# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.data.freeze``: write a dump of the newest schema, and note the checksums of the migrations."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from notebookd.adapters.sqlite import SqliteStore
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.run import RunState
from notebookd.domain.spec import SpecWish
from notebookd.domain.token import READ, TokenWish
from notebookd.service.notebooks import IdempotencyKey
from notebookd.testing.house import House, World, make_world, open_house
from tests.scenario.play import ADMIN, ALICE, BOB, container_of, create
from tests.values import notebook, run

HERE = Path(__file__).parent
CHECKSUMS = HERE / "migrations.sha256"
MIGRATIONS = files("notebookd.adapters.sqlite") / "migrations"


def checksums() -> dict[str, str]:
    """Of every migration there is, by its name."""
    scripts = {each.name: each.read_bytes() for each in MIGRATIONS.iterdir() if each.name.endswith(".sql")}
    return {name: hashlib.sha256(script).hexdigest() for name, script in sorted(scripts.items())}


async def play(house: House, world: World) -> None:
    """A few days in the life of a machine of three GPUs."""
    await house.services.gpus.drain(ADMIN, house.inventory.units[2].uuid, drained=True)
    await create(house, ALICE, gpu=1, name="running")
    await house.pass_time(90)
    stopped = await create(house, ALICE, gpu=1, name="stopped")
    await house.pass_time(600)
    await house.notebooks.stop(ALICE, stopped)
    await house.pass_time(5)
    failed = await create(house, BOB, cpu=2, name="failed")
    await house.pass_time(30)
    world.engine.end(container_of(world, failed).spec.name, 3)
    await house.pass_time(15)
    twice = await create(house, BOB, gpu=1, name="twice")
    await house.pass_time(60)
    await house.notebooks.stop(BOB, twice)
    await house.pass_time(5)
    await house.notebooks.start(BOB, twice)
    await house.pass_time(60)
    await create(house, BOB, gpu=1, name="waiting")
    gone = await create(house, ALICE, cpu=1, name="gone")
    await house.notebooks.delete(ALICE, gone, force=True)
    await house.pass_time(10)
    wish = SpecWish(
        editor="jupyterlab",
        framework="conda",
        name="keyed",
        labels={"team": "vision"},
        env_vars=(("A", "b"),),
        timeout_auto_restart=True,
    )
    await house.notebooks.create(ALICE, house.notebooks.check(wish), IdempotencyKey(key="k", digest="d"))
    await house.services.tokens.create(ALICE, TokenWish(name="ci", role=READ, selector="team=vision"))
    await house.quiet()


async def add_every_state(world: World) -> None:
    """A notebook in each state of a run; nothing stands behind them."""
    async with SqliteStore.open(world.config.paths.database, world.clock.now(), ballast_bytes=1) as store:
        for number, state in enumerate(RunState):
            made = notebook(id=NotebookId(f"{number:08}-0000-4000-8000-000000000000"), owner="carol")
            started = run(state, id=RunId(f"{number:08}-1111-4111-8111-000000000000"), notebook_id=made.id)
            name = f"in-{str(state).lower().replace('_', '-')}"
            async with store.transaction() as tx:
                await tx.put_notebook(replace(made, spec=replace(made.spec, name=name)))
                await tx.put_run(replace(started, gpus=(f"GPU-{number}",) if started.gpus else ()))


async def freeze() -> Path:
    """Write the dump."""
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder), gpus=3)
        async with open_house(world) as house:
            await play(house, world)
        await add_every_state(world)
        with closing(sqlite3.connect(world.config.paths.database)) as database:
            schema = int(database.execute("PRAGMA user_version").fetchone()[0])
            dump = "\n".join(database.iterdump())
    target = HERE / f"schema-{schema}.sql"
    target.write_text(
        f"-- A database of schema {schema}, frozen: see README.md beside it.\nPRAGMA user_version = {schema};\n{dump}\n"
    )
    CHECKSUMS.write_text("".join(f"{sum_}  {name}\n" for name, sum_ in checksums().items()))
    return target


if __name__ == "__main__":
    print(asyncio.run(freeze()))
