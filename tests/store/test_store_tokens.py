# SPDX-License-Identifier: Apache-2.0
"""App tokens in the store, and the labels that their selectors ask for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from notebookd.adapters.sqlite import SqliteStore
from notebookd.domain.ids import RunId, TokenId
from notebookd.domain.token import READ, LabelSelector, Token
from tests.values import NOW, notebook, run


def token(number: int, owner: str = "alice") -> Token:
    return Token(
        id=TokenId(f"0000000{number}-0000-4000-8000-000000000000"),
        owner=owner,
        name=f"t{number}",
        role=READ,
        digest="0" * 64,
        created_at=NOW + timedelta(minutes=number),
        updated_at=NOW + timedelta(minutes=number),
        selector=LabelSelector(name="team", value="vision") if number % 2 else None,
    )


async def put(store: SqliteStore, *tokens: Token) -> None:
    async with store.transaction() as tx:
        for each in tokens:
            await tx.put_token(each)


async def test_a_token_comes_back_as_it_was_put(store: SqliteStore) -> None:
    first, second = token(1), token(2)
    await put(store, first, second)
    assert [store.find_token(each.id) for each in (first, second)] == [first, second]
    renewed = replace(first, digest="1" * 64, version=2, updated_at=NOW + timedelta(days=1))
    await put(store, renewed)
    assert store.find_token(first.id) == renewed


async def test_tokens_are_listed_by_owner_in_the_order_of_their_making(store: SqliteStore) -> None:
    await put(store, token(3), token(1), token(2, "bob"))
    assert store.list_tokens("alice", page=1, size=10) == ([token(1), token(3)], 2)
    assert store.list_tokens(None, page=1, size=2) == ([token(1), token(2, "bob")], 3)
    assert store.list_tokens(None, page=2, size=2) == ([token(3)], 3)
    assert store.list_tokens("carol", page=1, size=10) == ([], 0)


async def test_a_token_that_was_removed_is_gone(store: SqliteStore) -> None:
    await put(store, token(1))
    async with store.transaction() as tx:
        await tx.remove_token(token(1).id)
    assert store.find_token(token(1).id) is None


async def test_labels_of_a_notebook_outlive_it(store: SqliteStore) -> None:
    made = notebook()
    bearing = replace(made, spec=replace(made.spec, labels={"team": "vision"}))
    assert store.find_labels(made.id) is None
    async with store.transaction() as tx:
        await tx.put_notebook(bearing)
        await tx.put_run(run(notebook_id=made.id))
    assert store.find_labels(made.id) == {"team": "vision"}
    async with store.transaction() as tx:
        await tx.strike_off(made.id, NOW)
    assert store.find_entry(made.id) is None
    assert store.find_labels(made.id) == {"team": "vision"}


async def test_a_run_is_reported_by_labels_of_its_own_and_by_its_notebook_s_where_it_has_none(
    store: SqliteStore,
) -> None:
    """So does one from before they were kept."""
    made = notebook()
    async with store.transaction() as tx:
        await tx.put_notebook(replace(made, spec=replace(made.spec, labels={"team": "vision"})))
        going = await tx.put_run(run(notebook_id=made.id))
    assert store.find_run_labels(going.id) == {"team": "vision"}
    for labels in ({"team": "audio"}, {}):
        async with store.transaction() as tx:
            await tx.put_run(replace(going, labels=labels))
        assert store.find_run_labels(going.id) == labels
    assert store.find_run_labels(RunId("none")) == {}
