# SPDX-License-Identifier: Apache-2.0
"""That the API costs little beside aiohttp itself; ``python -m tests.bench serving`` measures it properly."""

from __future__ import annotations

import asyncio

from tests.api.caller import Api
from tests.bench.crowd import run_crowd
from tests.bench.serving import LEAST_ONE, LEAST_PAGE, measure_serving, median_part


def test_an_answer_costs_little_beside_a_bare_handler() -> None:
    figures = measure_serving(rounds=3, round_s=0.4)
    assert median_part(figures, "GET one") >= LEAST_ONE
    assert median_part(figures, "GET a page") >= LEAST_PAGE


async def test_many_clients_at_once_meet_no_error_and_a_follower_misses_nothing(api: Api) -> None:
    notebooks = [await api.create(resources={"cpu": 1}) for _ in range(10)]
    crowd = await asyncio.to_thread(run_crowd, str(api.socket), notebooks, clients=100, for_s=1.5)
    assert crowd.answers.errors == []
    labels = len(crowd.answers.taken_s["a label"])
    assert labels, "nobody wrote anything"
    assert len(crowd.followed) >= labels
    assert (crowd.gaps, crowd.ordered) == (0, True)
