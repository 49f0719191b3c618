# SPDX-License-Identifier: Apache-2.0
"""A name that is used again: userdel, then useradd of the same name with another uid."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from notebookd.adapters.directory import FRESH_S
from notebookd.domain.ids import NotebookId
from notebookd.domain.quota import QuotaRule
from tests.api.caller import SPEC, Api, Said
from tests.api.people import MEMBERS, People, Person

OTHER_UID = 61_777
CPU = {**SPEC, "resources": {"cpu": 1}}
TOKEN = {"name": "t", "role": "ai_training_operator"}


@contextmanager
def somebody_else(api: Api, person: Person) -> Iterator[str]:
    """Another person with that name; gives what the earlier one is called then."""
    uid = person.uid
    _make_again(person, OTHER_UID)
    api.world.clock.step(FRESH_S)
    try:
        yield f"{person.name} (uid {uid})"
    finally:
        _make_again(person, uid)


def _make_again(person: Person, uid: int) -> None:
    words = ["--system", "--no-create-home", "--groups", MEMBERS, "--uid", str(uid), person.name]
    subprocess.run(["userdel", "--force", person.name], check=True, capture_output=True)
    subprocess.run(["useradd", *words], check=True, capture_output=True)


async def made(api: Api, person: Person, **more: Any) -> str:
    said = await api.ask_as(person, "POST", "/v1/notebook", {**CPU, **more})
    assert said.status == 200, said.body
    return str(said.body["id"])


async def chown(api: Api, old: Person, new: Person) -> Said:
    return await api.call("POST", "/v1/account/chown", {"from": old.name, "to": new.name})


async def stopped(api: Api, notebook: str) -> None:
    assert (await api.order(notebook, "stop")).status == 204
    assert await api.state(notebook) == "STOPPED"


async def test_who_has_the_name_of_one_who_left_gets_nothing_of_theirs(api: Api, people: People) -> None:
    book = await made(api, people.bob)
    with somebody_else(api, people.bob):
        for method, path in (
            ("GET", f"/v1/notebook/{book}"),
            ("GET", f"/v1/notebook/{book}/access"),
            ("GET", "/v1/notebook"),
            ("GET", "/v1/token"),
            ("GET", "/v1/usage"),
            ("GET", "/v1/event"),
            ("DELETE", f"/v1/notebook/{book}?force=true"),
        ):
            said = await api.ask_as(people.bob, method, path)
            body = said.body[0] if isinstance(said.body, list) else said.body
            assert (said.status, body["code"]) == (403, "forbidden"), path
            assert f"notebookctl chown {people.bob.name} NEW" in body["hint"]
            assert str(OTHER_UID) in body["message"]
        assert await api.state(book) == "RUNNING", "the notebook itself goes on"
        assert (await api.ask_as(people.alice, "GET", "/v1/me")).status == 200
    assert (await api.ask_as(people.bob, "GET", f"/v1/notebook/{book}/access")).status == 200


async def test_a_token_dies_when_its_owners_name_is_given_to_another_uid(api: Api, people: People) -> None:
    token = (await api.ask_as(people.bob, "POST", "/v1/token", TOKEN)).body
    shown = {"Authorization": f"Bearer {token['status']['value']}"}
    assert (await api.call("GET", "/v1/me", headers=shown)).status == 200
    with somebody_else(api, people.bob):
        assert (await api.call("GET", "/v1/me", headers=shown)).status == 401
        assert (await api.ask_as(people.bob, "GET", "/v1/token")).status == 403, "a token is left"
    assert (await api.call("DELETE", f"/v1/token/{token['id']}")).status == 204


async def test_an_admin_hands_over_and_the_new_owner_has_it_whole(api: Api, people: People) -> None:
    book = await made(api, people.bob, name="thesis")
    token = (await api.ask_as(people.bob, "POST", "/v1/token", TOKEN)).body
    shown = {"Authorization": f"Bearer {token['status']['value']}"}
    before = api.token(book)
    said = await chown(api, people.bob, people.alice)
    assert (said.status, said.code) == (409, "conflict")
    assert f"{book} (RUNNING)" in said.body["message"]
    await stopped(api, book)
    said = await chown(api, people.bob, people.alice)
    wish = {"from": people.bob.name, "to": people.alice.name, "uid": people.alice.uid, "notebooks": 1, "tokens": 1}
    assert (said.status, said.body) == (200, wish)
    assert (await api.call("GET", "/v1/me", headers=shown)).status == 401
    assert (await api.ask_as(people.bob, "GET", f"/v1/notebook/{book}")).status == 403
    assert (await api.ask_as(people.bob, "GET", "/v1/notebook")).body["items"] == []
    assert (await api.ask_as(people.alice, "PUT", f"/v1/notebook/{book}/start")).status == 204
    mine = (await api.ask_as(people.alice, "GET", "/v1/notebook")).body["items"]
    assert [(each["id"], each["spec"]["name"], each["user"]) for each in mine] == [(book, "thesis", people.alice.name)]
    assert (await api.ask_as(people.alice, "GET", f"/v1/notebook/{book}/access")).status == 200
    assert api.token(book) != before
    events = api.house.store.list_events(after=0, limit=100, notebook_id=NotebookId(book), owner=None)
    (moved,) = [each for each in events if each.type == "notebook.owner"]
    assert (moved.actor, moved.data) == ("root", {"from": people.bob.name, "to": people.alice.name})


async def test_what_is_given_keeps_its_name_or_gets_a_number(api: Api, people: People) -> None:
    kept = [await made(api, people.alice, name=name) for name in ("thesis", "thesis-3")]
    given = [await made(api, people.bob, name=name) for name in ("thesis", "thesis-2", "notes")]
    for book in given:
        await stopped(api, book)
    assert (await chown(api, people.bob, people.alice)).status == 200
    mine = (await api.ask_as(people.alice, "GET", "/v1/notebook")).body["items"]
    names = {each["id"]: each["spec"]["name"] for each in mine}
    assert [names[book] for book in (*kept, *given)] == ["thesis", "thesis-3", "thesis-4", "thesis-2", "notes"]
    events = api.house.store.list_events(after=0, limit=100, notebook_id=None, owner=None)
    moved = {each.notebook_id: each.data for each in events if each.type == "notebook.owner"}
    assert moved[NotebookId(given[0])] == {"from": people.bob.name, "to": people.alice.name, "name": "thesis-4"}
    assert "name" not in moved[NotebookId(given[1])]


def secret(api: Api, book: str) -> str | None:
    entry = api.house.store.find_entry(NotebookId(book))
    assert entry is not None
    return entry.notebook.session_secret


async def test_the_owner_ends_sessions_and_nobody_else(api: Api, people: People) -> None:
    book = await made(api, people.bob)
    token, key = api.token(book), secret(api, book)
    assert key
    for stranger in (people.alice, people.boss):
        assert (await api.ask_as(stranger, "POST", f"/v1/notebook/{book}/access/renew")).status == 403
    assert (api.token(book), secret(api, book)) == (token, key)
    said = await api.ask_as(people.bob, "POST", f"/v1/notebook/{book}/access/renew")
    assert said.status == 200
    assert said.body["token"] == api.token(book) != token
    assert said.body["url"].endswith(f"?token={said.body['token']}")
    assert secret(api, book) not in {None, key}
    events = api.house.store.list_events(after=0, limit=100, notebook_id=NotebookId(book), owner=None)
    (renewed,) = [each for each in events if each.type == "notebook.access"]
    assert (renewed.actor, renewed.data) == (people.bob.name, {})


async def test_sessions_outlive_stop_and_start_and_end_when_the_notebook_is_given_away(
    api: Api, people: People
) -> None:
    book = await made(api, people.bob)
    token, key = api.token(book), secret(api, book)
    await stopped(api, book)
    assert (await api.ask_as(people.bob, "PUT", f"/v1/notebook/{book}/start")).status == 204
    assert (secret(api, book), api.token(book) == token) == (key, False)
    await stopped(api, book)
    assert (await chown(api, people.bob, people.alice)).status == 200
    assert secret(api, book) not in {None, key}


@contextmanager
def without_account(person: Person) -> Iterator[None]:
    uid = person.uid
    subprocess.run(["userdel", "--force", person.name], check=True, capture_output=True)
    try:
        yield
    finally:
        words = ["--system", "--no-create-home", "--groups", MEMBERS, "--uid", str(uid), person.name]
        subprocess.run(["useradd", *words], check=True, capture_output=True)


async def test_access_ends_when_the_owners_account_is_missing_for_good(api: Api, people: People) -> None:
    book, others = await made(api, people.bob), await made(api, people.alice)
    token, key, others_key = api.token(book), secret(api, book), secret(api, others)

    async def look() -> None:
        api.world.clock.step(FRESH_S)
        await api.house.leavers.look()
        await api.house.quiet()

    await look()
    with without_account(people.bob):
        await look()
        assert (api.token(book), secret(api, book)) == (token, key), "a directory service may restart"
        await look()
    ended = api.token(book)
    assert (ended == token, secret(api, book)) == (False, None)
    assert secret(api, others) == others_key
    events = api.house.store.list_events(after=0, limit=100, notebook_id=NotebookId(book), owner=None)
    (told,) = [each for each in events if each.type == "notebook.access"]
    assert told.actor == "notebookd"
    await look()
    assert api.token(book) == ended
    assert (await api.ask_as(people.bob, "POST", f"/v1/notebook/{book}/access/renew")).status == 200
    assert secret(api, book) is not None


async def test_what_was_used_stays_on_the_bill_of_who_used_it(api: Api, people: People) -> None:
    book = await made(api, people.bob)
    await api.house.pass_time(600)
    await stopped(api, book)
    used = (await api.ask_as(people.bob, "GET", "/v1/usage")).body["totals"]
    none = (await api.ask_as(people.alice, "GET", "/v1/usage")).body["totals"]
    assert used != none
    assert (await chown(api, people.bob, people.alice)).status == 200
    assert (await api.ask_as(people.bob, "GET", "/v1/usage")).body["totals"] == used
    assert (await api.ask_as(people.alice, "GET", "/v1/usage")).body["totals"] == none
    with somebody_else(api, people.bob) as earlier:
        fresh = await api.ask_as(people.bob, "GET", "/v1/usage")
        assert (fresh.status, fresh.body["totals"]) == (200, none), (
            "nothing of the earlier one is left: a new beginning"
        )
        theirs = await api.call("GET", f"/v1/usage?owner={earlier.replace(' ', '%20')}")
        assert theirs.body["totals"] == used
        store = api.house.store
        assert store.list_events(after=0, limit=9, notebook_id=None, owner=people.bob.name) == []
        assert store.list_events(after=0, limit=9, notebook_id=None, owner=earlier) != []


async def test_the_name_may_be_handed_to_the_account_that_has_it_now(api: Api, people: People) -> None:
    book = await made(api, people.bob)
    await stopped(api, book)
    said = await chown(api, people.bob, people.bob)
    assert (said.status, said.code) == (409, "conflict"), "it is one and the same account"
    with somebody_else(api, people.bob):
        assert (await api.ask_as(people.bob, "GET", "/v1/notebook")).status == 403
        assert (await chown(api, people.alice, people.bob)).status == 409, "first what is there already"
        said = await chown(api, people.bob, people.bob)
        assert (said.status, said.body["uid"], said.body["notebooks"]) == (200, OTHER_UID, 1)
        assert (await api.ask_as(people.bob, "GET", f"/v1/notebook/{book}")).status == 200
        assert (await api.ask_as(people.bob, "DELETE", f"/v1/notebook/{book}")).status == 204
    assert (await api.ask_as(people.bob, "GET", "/v1/notebook")).status == 200, "the same the other way round"


async def test_answers_that_were_kept_for_one_are_not_given_to_another(api: Api, people: People) -> None:
    key = {"Idempotency-Key": "nightly"}
    book = (await api.ask_as(people.bob, "POST", "/v1/notebook", CPU, **key)).body["id"]
    assert (await api.ask_as(people.bob, "DELETE", f"/v1/notebook/{book}?force=true")).status == 204
    with somebody_else(api, people.bob):
        said = await api.ask_as(people.bob, "POST", "/v1/notebook", CPU, **key)
        assert said.status == 200, "the earlier one's is a conflict"
        assert (await api.ask_as(people.bob, "GET", f"/v1/notebook/{book}/receipt")).status == 403
        again = await api.ask_as(people.bob, "DELETE", f"/v1/notebook/{said.body['id']}?force=true")
        assert again.status == 204


@pytest.mark.parametrize("old", ["nbdt-boss", "no-such-account"])
async def test_there_must_be_something_to_hand_over(api: Api, people: People, old: str) -> None:
    said = await chown(api, Person(old), people.alice)
    assert (said.status, said.code) == (404, "not-found")
    assert "neither notebooks nor tokens" in said.body["message"]
    said = await chown(api, people.alice, Person("no-such-account"))
    assert (said.status, said.code) == (404, "not-found")


async def test_members_hand_nothing_over(api: Api, people: People) -> None:
    wish = {"from": people.bob.name, "to": people.alice.name}
    assert (await api.ask_as(people.alice, "POST", "/v1/account/chown", wish)).status == 403


async def test_owners_of_an_older_database_are_known_after_the_next_start(api: Api, people: People) -> None:
    """Nothing says who they were: so their uids are noted at once, not when they come the next time."""
    book = await made(api, people.bob)
    store = api.house.store
    with closing(sqlite3.connect(api.world.config.paths.database, isolation_level=None)) as older:
        older.execute("DELETE FROM account")
    assert people.bob.name in store.list_unrecorded()
    await api.house.services.accounts.enrol()
    assert store.find_account(people.bob.name) == people.bob.uid
    with somebody_else(api, people.bob):
        assert (await api.ask_as(people.bob, "GET", f"/v1/notebook/{book}")).status == 403


async def test_a_quota_of_minutes_is_not_spent_by_the_one_before(api: Api, people: People) -> None:
    api.world.quotas[people.bob.name] = QuotaRule(gpu_minutes_month=5)
    book = await made(api, people.bob, resources={"gpu": 1})
    await api.house.pass_time(600)
    assert (await api.ask_as(people.bob, "DELETE", f"/v1/notebook/{book}?force=true")).status == 204
    assert (await api.ask_as(people.bob, "POST", "/v1/notebook", {**SPEC, "resources": {"gpu": 1}})).status == 402
    with somebody_else(api, people.bob):
        book = await made(api, people.bob, resources={"gpu": 1})
        assert (await api.ask_as(people.bob, "DELETE", f"/v1/notebook/{book}?force=true")).status == 204
