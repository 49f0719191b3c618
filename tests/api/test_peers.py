# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end, and what is theirs."""

from __future__ import annotations

import grp
from typing import Any

import pytest

from notebookd.adapters.clock import SystemClock
from notebookd.adapters.directory import SystemDirectory
from notebookd.api.app import ROUTES
from notebookd.api.call import Access
from notebookd.api.peers import PeerPolicy
from notebookd.api.peers import actor_of as actor_of_person
from notebookd.domain.actor import Actor, Role
from notebookd.domain.quota import QuotaRule
from notebookd.errors import Forbidden
from tests.api.caller import NOWHERE, SPEC, Api
from tests.api.people import ADMINS, MEMBERS, People


def policy(people: People) -> PeerPolicy:
    return PeerPolicy(member_group=MEMBERS, admin_group=ADMINS, nobodies=frozenset({people.service.uid}))


async def actor_of(uid: int, gid: int, gids: tuple[int, ...], policy: PeerPolicy) -> Actor:
    return actor_of_person(await SystemDirectory(SystemClock()).peer(uid, {gid, *gids}), policy)


def group_id(name: str) -> int:
    return grp.getgrnam(name).gr_gid


# the actor that a uid and its groups make


async def test_root_is_an_admin_whatever_its_groups(people: People) -> None:
    actor = await actor_of(0, 0, (), policy(people))
    assert (actor.name, actor.role, actor.admin) == ("root", Role.ADMIN, True)


async def test_a_member_is_an_operator_by_name(people: People) -> None:
    actor = await actor_of(people.alice.uid, 65534, (group_id(MEMBERS),), policy(people))
    assert (actor.name, actor.role) == (people.alice.name, Role.OPERATOR)
    assert MEMBERS in actor.groups


async def test_a_primary_group_counts_as_well(people: People) -> None:
    assert (await actor_of(people.bob.uid, group_id(MEMBERS), (), policy(people))).role is Role.OPERATOR


async def test_an_admin_of_the_group_need_not_be_a_member(people: People) -> None:
    assert (await actor_of(people.boss.uid, 65534, (group_id(ADMINS),), policy(people))).admin


async def test_a_stranger_is_turned_away_with_the_way_in(people: People) -> None:
    with pytest.raises(Forbidden) as refused:
        await actor_of(people.stranger.uid, 65534, (), policy(people))
    assert refused.value.hint is not None
    assert f"usermod -aG {MEMBERS}" in refused.value.hint


async def test_a_service_account_is_nobody_even_as_a_member_and_an_admin(people: People) -> None:
    with pytest.raises(Forbidden):
        await actor_of(people.service.uid, 65534, (group_id(MEMBERS), group_id(ADMINS)), policy(people))


async def test_an_account_without_a_name_goes_by_its_number(people: People) -> None:
    assert (await actor_of(4_000_000_001, 65534, (group_id(MEMBERS),), policy(people))).name == "4000000001"


# the same with real peers


async def test_each_peer_is_told_who_it_is(api: Api, people: People) -> None:
    for person, role in (
        (people.alice, "ai_training_operator"),
        (people.bob, "ai_training_operator"),
        (people.boss, "administrator"),
    ):
        me = await api.ask_as(person, "GET", "/v1/me")
        assert me.status == 200
        assert (me.body["name"], me.body["role"]) == (person.name, role)
        assert me.body["tenant"] == api.house.services.instance
        assert "tokenKind" not in me.body
    me = await api.call("GET", "/v1/me")
    assert (me.body["name"], me.body["role"]) == ("root", "administrator")


async def test_the_kernel_keeps_a_stranger_off_the_socket(api: Api, people: People) -> None:
    said = await api.ask_as(people.stranger, "GET", "/v1/me")
    assert (said.status, said.body) == (0, "PermissionError")


@pytest.mark.parametrize("who", ["stranger", "service"])
async def test_a_stranger_who_gets_through_and_the_services_account_are_refused_everything(
    api: Api, people: People, who: str
) -> None:
    api.socket.chmod(0o666)
    person = getattr(people, who)
    for method, path in (("GET", "/v1/me"), ("GET", "/v1/gpu"), ("GET", "/v1/health"), ("POST", "/v1/notebook")):
        said = await api.ask_as(person, method, path, SPEC if method == "POST" else None)
        assert (said.status, said.code) == (403, "forbidden")


def orders_on(notebook: str) -> list[tuple[str, str, Any]]:
    """Every route of a notebook."""
    bodies = {"label": {"name": "a", "value": "b"}}
    return [
        (
            route.method,
            route.path.replace("{id}", notebook).replace("{bid}", NOWHERE),
            bodies.get(route.path.rpartition("/")[2], {}),
        )
        for route in ROUTES
        if "/notebook/{id}" in route.path and "capabilities" not in route.path
    ]


async def test_another_members_notebook_is_forbidden_on_every_route(api: Api, people: People) -> None:
    made = await api.ask_as(people.alice, "POST", "/v1/notebook", SPEC)
    assert made.status == 200
    before = await api.get(made.body["id"])
    for method, path, body in orders_on(made.body["id"]):
        said = await api.ask_as(people.bob, method, path, body if method == "PUT" else None)
        assert (said.status, said.code) == (403, "forbidden"), f"{method} {path}: {said.status}"
    after = await api.get(made.body["id"])
    assert after["spec"] == before["spec"]
    assert after["status"]["state"] == "RUNNING"


async def test_a_notebook_that_is_not_there_is_not_found_on_every_route(api: Api, people: People) -> None:
    for method, path, body in orders_on(NOWHERE):
        said = await api.ask_as(people.bob, method, path, body if method == "PUT" else None)
        assert (said.status, said.code) == (404, "not-found"), f"{method} {path}: {said.status}"


async def test_a_member_lists_its_own_and_an_admin_all(api: Api, people: People) -> None:
    for person in (people.alice, people.bob, people.boss):
        assert (await api.ask_as(person, "POST", "/v1/notebook", {**SPEC, "resources": {"cpu": 1}})).status == 200
    for person, owners in (
        (people.alice, {people.alice.name}),
        (people.bob, {people.bob.name}),
        (people.boss, {people.alice.name, people.bob.name, people.boss.name}),
    ):
        page = await api.ask_as(person, "GET", "/v1/notebook")
        assert {each["user"] for each in page.body["items"]} == owners
    other = await api.ask_as(people.alice, "GET", f"/v1/notebook?userName={people.bob.name}")
    assert {each["user"] for each in other.body["items"]} <= {people.alice.name}
    one = await api.ask_as(people.boss, "GET", f"/v1/notebook?userName={people.bob.name}")
    assert {each["user"] for each in one.body["items"]} == {people.bob.name}


async def test_an_admin_operates_anybodys_notebook_but_does_not_get_its_token(api: Api, people: People) -> None:
    made = (await api.ask_as(people.alice, "POST", "/v1/notebook", SPEC)).body["id"]
    assert (await api.ask_as(people.boss, "PUT", f"/v1/notebook/{made}/restart")).status == 204
    assert (await api.ask_as(people.boss, "GET", f"/v1/notebook/{made}/access")).status == 403
    assert (await api.call("GET", f"/v1/notebook/{made}/access")).status == 403
    mine = await api.ask_as(people.alice, "GET", f"/v1/notebook/{made}/access")
    assert mine.body == {
        "token": api.token(made),
        "url": f"http://{made}.localhost:8421/?token={api.token(made)}",
    }


async def test_no_answer_but_access_holds_a_token(api: Api, people: People) -> None:
    """The admin's backup holds all: it is what a restore goes on from."""
    made = (await api.ask_as(people.alice, "POST", "/v1/notebook", SPEC)).body["id"]
    for route in ROUTES:
        if route.method != "GET" or any(word in route.path for word in ("exec", "access", "{uuid}", "backup")):
            continue
        async with api.session.get(f"http://localhost{route.path.replace('{id}', made)}") as answer:
            assert api.token(made) not in await answer.text(), route.path


async def test_only_an_admin_drains(api: Api, people: People) -> None:
    uuid = api.world.gpus.uuids[0]
    admin_routes = [route for route in ROUTES if route.access is Access.ADMIN]
    assert {route.path for route in admin_routes} == {
        *(f"/v1/gpu/{{uuid}}/{verb}" for verb in ("drain", "undrain", "clear")),
        "/v1/gpu/release",
        "/v1/gpu/acquire",
        "/v1/account/chown",
        "/v1/backup",
        "/v1/image",
    }
    for route in admin_routes:
        said = await api.ask_as(people.alice, route.method, route.path.replace("{uuid}", uuid))
        assert (said.status, said.code) == (403, "forbidden")
    assert (await api.ask_as(people.boss, "PUT", f"/v1/gpu/{uuid}/drain")).status == 204
    board = await api.ask_as(people.alice, "GET", "/v1/gpu")
    assert [(each["drained"], each["state"]) for each in board.body["items"]] == [(True, "drained"), (False, "free")]
    assert (await api.ask_as(people.boss, "PUT", f"/v1/gpu/{uuid}/undrain")).status == 204
    assert (await api.ask_as(people.boss, "PUT", "/v1/gpu/GPU-none/drain")).status == 404


async def test_the_board_shows_members_who_holds_what_and_no_more(api: Api, people: People) -> None:
    made = (await api.ask_as(people.alice, "POST", "/v1/notebook", {**SPEC, "name": "secret-plan"})).body
    board = await api.ask_as(people.bob, "GET", "/v1/gpu")
    lease = board.body["items"][0]["lease"]
    assert (lease["owner"], lease["notebook"]) == (people.alice.name, made["id"])
    assert lease["freeAt"] == (await api.get(made["id"]))["status"]["lastJobStatus"]["timeoutAt"]
    assert board.body["items"][1]["lease"] is None
    assert "secret-plan" not in str(board.body)
    own = await api.ask_as(people.alice, "GET", "/v1/gpu")
    assert own.body["items"][0]["lease"]["name"] == "secret-plan"


async def test_a_member_sees_its_own_place_in_the_queue(api: Api, people: People) -> None:
    await api.create(resources={"gpu": 2})
    alices = (await api.ask_as(people.alice, "POST", "/v1/notebook", SPEC)).body["id"]
    await api.house.pass_time(1)
    bobs = (await api.ask_as(people.bob, "POST", "/v1/notebook", SPEC)).body["id"]
    queue = await api.ask_as(people.bob, "GET", "/v1/queue")
    assert [(row["notebook"], row["position"]) for row in queue.body["items"]] == [(bobs, 2)]
    everything = await api.call("GET", "/v1/queue")
    assert [row["notebook"] for row in everything.body["items"]] == [alices, bobs]


async def test_a_quota_is_a_402(api: Api, people: People) -> None:
    api.world.quotas[people.alice.name] = QuotaRule(gpus=1, notebooks=1)
    said = await api.ask_as(people.alice, "POST", "/v1/notebook", {**SPEC, "resources": {"gpu": 2}})
    assert (said.status, said.code) == (402, "quota-exceeded")
    made = await api.ask_as(people.alice, "POST", "/v1/notebook", SPEC)
    assert made.status == 200
    assert (await api.ask_as(people.alice, "POST", "/v1/notebook", SPEC)).status == 402
    me = await api.ask_as(people.alice, "GET", "/v1/me")
    assert me.body["quotas"]["resources"]["GPU"] == 1
    await api.ask_as(people.alice, "PUT", f"/v1/notebook/{made.body['id']}/stop")
    api.world.quotas[people.alice.name] = QuotaRule(gpus=0)
    said = await api.ask_as(people.alice, "PUT", f"/v1/notebook/{made.body['id']}/start")
    assert (said.status, said.code) == (402, "quota-exceeded")


async def test_events_of_others_are_not_a_members(api: Api, people: People) -> None:
    alices = (await api.ask_as(people.alice, "POST", "/v1/notebook", SPEC)).body["id"]
    await api.ask_as(people.boss, "PUT", f"/v1/gpu/{api.world.gpus.uuids[1]}/drain")
    for query in ("", f"?notebook={alices}"):
        status, mine = await people.alice.call(api.socket, "GET", f"/v1/event{query}")
        assert (status, {each["notebook"] for each in mine}) == (200, {alices})
        assert await people.bob.call(api.socket, "GET", f"/v1/event{query}") == (200, [])
    _, all_of_them = await people.boss.call(api.socket, "GET", "/v1/event")
    assert "gpu.drained" in {each["type"] for each in all_of_them}


# browsers


@pytest.mark.parametrize(
    ("headers", "served"),
    [
        ({"Host": "localhost"}, True),
        ({"Host": "localhost:80"}, True),
        ({"Host": "notebookd"}, True),
        ({"Host": ""}, True),
        ({"Host": "evil.example"}, False),
        ({"Host": "localhost.evil.example"}, False),
        ({"Host": "127.0.0.1"}, False),
        ({"Host": "[::1]"}, False),
        ({"Host": f"{NOWHERE}.localhost"}, False),
        ({"Origin": "http://localhost"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Referer": "http://localhost/"}, False),
    ],
    ids=str,
)
async def test_a_browser_is_turned_away(api: Api, headers: dict[str, str], served: bool) -> None:
    said = await api.call("GET", "/v1/me", headers=headers)
    assert said.status == (200 if served else 403), said.body
    if not served:
        assert said.code == "forbidden"


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/me"])
async def test_a_browser_learns_nothing_of_what_routes_there_are(api: Api, path: str) -> None:
    said = await api.call("GET", path, headers={"Origin": "http://evil.example"})
    assert said.status in {403, 404}
