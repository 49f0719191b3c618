# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import grp
import os
import pwd
import re
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from notebookd.adapters.clock import SystemClock
from notebookd.adapters.directory import SystemDirectory
from notebookd.api.app import ROUTES
from notebookd.api.call import Access
from notebookd.api.peers import PeerPolicy, peer_of, refuse_browsers, require
from notebookd.api.peers import actor_of as actor_of_person
from notebookd.api.route import Route
from notebookd.domain.actor import Actor, Role
from notebookd.errors import Forbidden, Unauthenticated

DAEMON = pwd.getpwnam("daemon")
NOBODY = pwd.getpwnam("nobody")
MEMBERS, ADMINS = "games", "adm"
POLICY = PeerPolicy(member_group=MEMBERS, admin_group=ADMINS, nobodies=frozenset({NOBODY.pw_uid}))


async def actor_of(uid: int, gid: int, gids: tuple[int, ...], policy: PeerPolicy) -> Actor:
    return actor_of_person(await SystemDirectory(SystemClock()).peer(uid, {gid, *gids}), policy)


def gid(name: str) -> int:
    return grp.getgrnam(name).gr_gid


async def test_a_member_operates_what_is_its_own() -> None:
    actor = await actor_of(DAEMON.pw_uid, DAEMON.pw_gid, (gid(MEMBERS),), POLICY)
    assert (actor.name, actor.role, actor.admin) == ("daemon", Role.OPERATOR, False)
    assert {"daemon", MEMBERS} <= actor.groups
    assert actor.may_see("daemon", {})
    assert not actor.may_see("alice", {})


async def test_a_primary_group_counts_as_well() -> None:
    assert (await actor_of(DAEMON.pw_uid, gid(MEMBERS), (), POLICY)).role is Role.OPERATOR


@pytest.mark.parametrize(("uid", "gids"), [(0, ()), (DAEMON.pw_uid, ("adm",)), (DAEMON.pw_uid, ("adm", "games"))])
async def test_root_and_the_admin_group_are_admins(uid: int, gids: tuple[str, ...]) -> None:
    actor = await actor_of(uid, pwd.getpwuid(uid).pw_gid, tuple(map(gid, gids)), POLICY)
    assert actor.admin
    assert actor.may_see("alice", {})


@pytest.mark.parametrize("gids", [(), ("games",), ("adm",), ("games", "adm")])
async def test_the_service_account_is_nobody_whatever_its_groups(gids: tuple[str, ...]) -> None:
    with pytest.raises(Forbidden, match="a container shares its uid"):
        await actor_of(NOBODY.pw_uid, NOBODY.pw_gid, tuple(map(gid, gids)), POLICY)


async def test_a_stranger_is_told_whom_to_ask() -> None:
    with pytest.raises(Forbidden, match="cannot serve daemon: not in group games") as caught:
        await actor_of(DAEMON.pw_uid, DAEMON.pw_gid, (), POLICY)
    assert "usermod -aG games daemon" in (caught.value.hint or "")


async def test_a_uid_without_an_account_goes_by_its_number() -> None:
    assert (await actor_of(4_000_000, 4_000_000, (gid(MEMBERS), 4_000_001), POLICY)).name == "4000000"


@pytest.mark.parametrize("headers", [{}, {"Host": "localhost"}, {"Host": "localhost:80"}, {"Host": "notebookd"}])
def test_programs_are_served(headers: dict[str, str]) -> None:
    refuse_browsers(make_mocked_request("GET", "/", headers=headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost", "Origin": "null"},
        {"Host": "localhost", "Referer": "http://localhost/"},
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1:8421"},
        {"Host": "[::1]"},
        {"Host": "x.localhost"},
    ],
)
def test_browsers_are_not(headers: dict[str, str]) -> None:
    with pytest.raises(Forbidden):
        refuse_browsers(make_mocked_request("GET", "/", headers=headers))


async def test_without_a_unix_socket_nobody_is_told_apart() -> None:
    with pytest.raises(Unauthenticated):
        await peer_of(make_mocked_request("GET", "/"), SystemDirectory(SystemClock()))


async def test_the_kernel_says_who_is_asking(tmp_path: Path) -> None:
    seen: list[Actor] = []

    async def serve(request: web.Request) -> web.Response:
        policy = PeerPolicy(member_group=own_group, admin_group="adm", nobodies=frozenset())
        seen.append(actor_of_person(await peer_of(request, SystemDirectory(SystemClock())), policy))
        return web.Response()

    own_group = grp.getgrgid(os.getgid()).gr_name
    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    path = str(tmp_path / "s")
    await web.UnixSite(runner, path).start()
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as client:
        assert (await client.get("http://localhost/")).status == 200
    await runner.cleanup()
    (actor,) = seen
    assert actor.name == pwd.getpwuid(os.getuid()).pw_name
    assert own_group in actor.groups


REFUSED = [route for route in ROUTES if route.access is not Access.READER]


@pytest.mark.parametrize("route", REFUSED, ids=lambda route: route.operation)
def test_a_refusal_names_what_was_asked_for_in_plain_words(route: Route) -> None:
    member = Actor(name="alice", role=Role.OPERATOR)
    with pytest.raises(Forbidden) as refusal:
        require(Access.ADMIN, member, route.deed)
    assert re.fullmatch(r"cannot (?!the |a |an |one|no )[a-z]+,? [a-zA-Z,' ]+: only admins may", str(refusal.value))
    assert route.method not in str(refusal.value)


def test_a_refusal_to_give_notebooks_away_reads_as_a_sentence() -> None:
    deeds = {route.path: route.deed for route in REFUSED}
    assert deeds["/v1/account/chown"] == "give notebooks to another account"
    assert deeds["/v1/gpu/{uuid}/drain"] == "drain a GPU"
    assert deeds["/v1/notebook/{id}/start"] == "start a notebook"
