# SPDX-License-Identifier: Apache-2.0
"""What a scrape of the metrics costs beside a thousand notebooks: a house over a fake machine of eight GPUs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from notebookd.testing.house import make_world
from tests.api.caller import SPEC, open_api
from tests.bench.control import beside_loop_async, scratch
from tests.bench.figures import Figure

NOTEBOOKS = 1000
SCRAPES = 50
MOST_LOOPS = 3.0


def measure_scraping() -> list[Figure]:
    """Eight that run, and all others in the queue."""
    with scratch() as folder:
        return asyncio.run(_measure(folder))


async def _measure(folder: Path) -> list[Figure]:
    async with open_api(make_world(folder, gpus=8), folder / "api.sock", None) as api:
        for number in range(NOTEBOOKS):
            async with api.session.post(
                "http://localhost/v1/notebook", json={**SPEC, "name": f"bench-{number}"}
            ) as answer:
                assert answer.status == 200, await answer.text()
        await api.house.quiet()
        cost: list[float] = []

        async def scrape() -> int:
            used = time.process_time()
            async with api.session.get("http://localhost/metrics") as answer:
                size = len(await answer.read())
            cost.append((time.process_time() - used) * 1000)
            return size

        name = f"GET /metrics beside {NOTEBOOKS:,} notebooks ({await scrape():,} bytes)"
        figures = await beside_loop_async(name, scrape, rounds=SCRAPES, target=MOST_LOOPS)
    return [
        *figures,
        Figure(name="  CPU of that, its client's included", values=tuple(cost), unit="ms", digits=2),
    ]
