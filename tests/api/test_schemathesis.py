# SPDX-License-Identifier: Apache-2.0
"""schemathesis over our own description: nothing breaks, and every answer is one that the description knows.

Each operation gets the boundary values of its description, then generated cases, valid ones and invalid ones. Most
name a notebook or a GPU that is there, so that they get further than a 404.
"""

from __future__ import annotations

import gc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    positive_data_acceptance,
)

from notebookd.api.app import ROUTES
from notebookd.api.openapi import document
from notebookd.testing.house import make_world
from tests.api.caller import SPEC
from tests.api.fuzzing import BASE_URL, PATIENCE_S, Served, Tally, served

BOUNDED, LONG = 15, 650
LEAST = {BOUNDED: 2_000, LONG: 20_000}

# One path is two routes' (`/v1/notebook/{id}` is also `/v1/notebook/command`): Allow names the methods of both.
NOT_SO = (allow_header_conformance,)
# Of these a schema cannot say all: what goes with what (in any body too), which day is before another, an upgrade.
NOT_SO_HERE = (allow_header_conformance, positive_data_acceptance)
HERE = {"getUsage", "execInNotebook"}

load_all_checks()
schema = schemathesis.openapi.from_dict(document(ROUTES, "0"))
# A notebook's state, its version, the size of a body may be said to be at fault before the rest of the request is.
schema.config.checks.negative_data_rejection.expected_statuses += ["409", "412", "413"]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One house for all of it."""
    folder = tmp_path_factory.mktemp("fuzz")
    gc.disable()
    with served(make_world(folder), folder) as opened:
        yield opened
    gc.enable()


def quickly(examples: int) -> Callable[[Any], Any]:
    """So many generated cases, the same each time where they are few."""
    return settings(
        max_examples=examples,
        derandomize=examples == BOUNDED,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def settle(case: schemathesis.Case, house: Served) -> None:
    """Aim most cases at what is there. A follower waits for ever: it has tests of its own."""
    if isinstance(case.query, dict):
        case.query.pop("follow", None)
    if zlib.crc32(repr((case.path_parameters, case.query, case.body)).encode()) % 4 == 0:
        return
    place = zlib.crc32(repr(case.body).encode())
    if "/notebook/{id}" in case.path and "capabilities" not in case.path:
        case.path_parameters["id"] = house.notebooks[place % len(house.notebooks)]
    if "{uuid}" in case.path:
        case.path_parameters["uuid"] = house.gpus[place % len(house.gpus)]
    valid = case.meta is not None and case.meta.generation.mode is schemathesis.GenerationMode.POSITIVE
    if valid and isinstance(case.body, dict) and "env" in case.body:
        case.body["env"] = dict(SPEC["env"])
        for name in ("resources", "sshPublicKeys", "volumes", "labels")[: place % 5]:
            case.body.pop(name, None)


def check(case: schemathesis.Case, house: Served, tally: Tally) -> None:
    """Ask, and hold the answer against the description."""
    house.begin(case.operation.label)
    settle(case, house)
    answer = case.call(base_url=BASE_URL, session=house.session, timeout=PATIENCE_S)
    tally.count(case.operation.label, answer.status_code)
    partly = case.operation.body or case.operation.definition.raw["operationId"] in HERE
    excluded = NOT_SO_HERE if partly else NOT_SO
    case.validate_response(answer, excluded_checks=list(excluded))
    if case.method == "DELETE" and answer.status_code == 204:
        house.tidy()
    if case.path == "/v1/gpu/release":
        house.ask("PUT", "/v1/gpu/acquire")


@schema.parametrize()
@quickly(BOUNDED)
def test_every_answer_is_as_described(case: schemathesis.Case, house: Served, tally: Tally) -> None:
    check(case, house, tally)


def test_there_were_enough_cases(tally: Tally) -> None:
    if tally.operations < len(ROUTES):
        pytest.skip("not every operation was tried")
    assert tally.cases >= LEAST[BOUNDED]


@pytest.mark.long
@pytest.mark.timeout(1800)
@schema.parametrize()
@quickly(LONG)
def test_every_answer_is_as_described_in_the_long_run(
    case: schemathesis.Case, house: Served, long_tally: Tally
) -> None:
    check(case, house, long_tally)


@pytest.mark.long
def test_there_were_enough_cases_in_the_long_run(long_tally: Tally) -> None:
    if long_tally.operations < len(ROUTES):
        pytest.skip("not every operation was tried")
    assert long_tally.cases >= LEAST[LONG]
