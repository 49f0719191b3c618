# SPDX-License-Identifier: Apache-2.0
"""That the API costs little beside aiohttp itself; ``python -m tests.bench serving`` measures it properly."""

from __future__ import annotations

from tests.bench.serving import LEAST_ONE, LEAST_PAGE, measure_serving, median_part


def test_an_answer_costs_little_beside_a_bare_handler() -> None:
    figures = measure_serving(rounds=3, round_s=0.4)
    assert median_part(figures, "GET one") >= LEAST_ONE
    assert median_part(figures, "GET a page") >= LEAST_PAGE
