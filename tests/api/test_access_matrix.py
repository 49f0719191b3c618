# SPDX-License-Identifier: Apache-2.0
"""Every route tried as everybody, and what must hold of every route that there will ever be."""

from __future__ import annotations

import pytest

from notebookd.api.call import Access
from tests.access.house import rows_of
from tests.access.matrix import CAST, PAGE, Row, page
from tests.api.people import People

WHO = {who: place for place, who in enumerate(CAST)}
_matrix: list[Row] = []


@pytest.fixture
async def matrix(people: People) -> list[Row]:
    """Tried once for all tests of this file."""
    if not _matrix:
        _matrix.extend(await rows_of(people))
    return _matrix


def let_in(row: Row) -> set[str]:
    return {who for who, place in WHO.items() if row.cells[place] == "yes"}


async def test_the_page_says_what_came_of_it(matrix: list[Row]) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(matrix), "look at the change, then run `python -m tests.access`"


async def test_strangers_and_the_services_account_get_nothing(matrix: list[Row]) -> None:
    for row in matrix:
        assert row.cells[WHO["stranger"]] == "no socket", row
        assert row.cells[WHO["service account"]] == "403", row


async def test_a_route_lets_in_no_more_than_its_rule(matrix: list[Row]) -> None:
    for row in matrix:
        who = let_in(row)
        secret = row.route.path.endswith(("/access", "/renew"))
        assert ("admin" in who) is not secret, f"{row}: an admin may everything but learn the secrets of others"
        match row.route.access:
            case Access.ADMIN:
                assert who == {"admin"}, row
            case Access.PERSON:
                assert who <= {"owner", "other member", "admin"}, row
            case Access.MEMBER:
                assert "reader's token" not in who, row


async def test_a_notebook_is_its_owners_and_his_tokens_and_the_admins(matrix: list[Row]) -> None:
    for row in matrix:
        if row.route.path.startswith("/v1/notebook/{id}"):
            assert row.cells[WHO["other member"]] == "403", row
            assert row.cells[WHO["token for others"]] == "404", row
            assert let_in(row) >= {"owner", "operator's token"}, row


async def test_a_reader_changes_nothing(matrix: list[Row]) -> None:
    for row in matrix:
        if row.route.method != "GET" and "reader's token" in let_in(row):
            assert row.route.path == "/v1/notebook/command", f"{row}: it changes nothing either"
