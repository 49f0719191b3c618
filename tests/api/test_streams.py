# SPDX-License-Identifier: Apache-2.0
"""Logs, events and commands, as they come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from notebookd.errors import EngineError
from notebookd.ports.engine import ExecSession
from notebookd.service.commands import Commands
from notebookd.testing.engine import FakeEngine
from notebookd.wire import parse_rfc3339, rfc3339
from tests.api.caller import Api

PATIENCE_S = 10


class Lines:
    """JSON lines of an open answer."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def next(self) -> dict[str, Any]:
        """The next object; heartbeats are passed over."""
        async with asyncio.timeout(PATIENCE_S):
            while not (line := await self.answer.content.readline()).strip():
                assert line, "the stream ended"
            return dict(json.loads(line))

    async def rest(self) -> list[dict[str, Any]]:
        """Everything up to the end."""
        async with asyncio.timeout(PATIENCE_S):
            text = await self.answer.text()
        return [json.loads(line) for line in text.splitlines() if line]


@asynccontextmanager
async def stream(api: Api, path: str) -> AsyncIterator[Lines]:
    """An answer that is read as it comes."""
    async with api.session.get(f"http://localhost{path}") as answer:
        assert answer.status == 200
        assert answer.content_type == "application/x-ndjson"
        yield Lines(answer)


# the log


async def test_the_log_is_a_page_with_the_time_of_the_last_line(api: Api) -> None:
    notebook = await api.create()
    empty = await api.call("GET", f"/v1/notebook/{notebook}/log")
    assert empty.body == {"logs": []}
    api.world.engine.say(api.container(notebook).spec.name, "one\ntwo")
    await api.house.pass_time(60)
    api.world.engine.say(api.container(notebook).spec.name, "three")
    said = await api.call("GET", f"/v1/notebook/{notebook}/log")
    assert [line["content"] for line in said.body["logs"]] == ["one", "two", "three"]
    assert said.body["lastActivity"] == said.body["logs"][-1]["timestamp"]
    assert said.body["lastActivity"].endswith("Z")


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("tail=1", ["three"]),
        ("tail=0", []),
        ("tail=99", ["one", "two", "three"]),
        ("since=30s", ["three"]),
        ("since=1h", ["one", "two", "three"]),
        ("since={now}", []),
    ],
)
@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
async def test_the_log_is_cut_the_same_while_it_runs_and_after(
    api: Api, query: str, seen: list[str], stopped: bool
) -> None:
    notebook = await api.create()
    name = api.container(notebook).spec.name
    api.world.engine.say(name, "one\ntwo")
    await api.house.pass_time(60)
    api.world.engine.say(name, "three")
    await api.house.pass_time(1)
    if stopped:
        await api.order(notebook, "stop")
    wish = query.format(now=int(api.world.clock.now().timestamp()))
    said = await api.call("GET", f"/v1/notebook/{notebook}/log?{wish}")
    assert [line["content"] for line in said.body["logs"]] == seen


async def test_the_log_is_followed_until_the_end(api: Api) -> None:
    notebook = await api.create()
    name = api.container(notebook).spec.name
    api.world.engine.say(name, "before")
    async with stream(api, f"/v1/notebook/{notebook}/log?follow=true") as lines:
        assert (await lines.next())["content"] == "before"
        api.world.engine.say(name, "after")
        assert (await lines.next())["content"] == "after"
        await api.order(notebook, "stop")
        assert await lines.rest() == []


async def test_a_stopped_notebooks_log_is_followed_to_its_end_at_once(api: Api) -> None:
    notebook = await api.create()
    api.world.engine.say(api.container(notebook).spec.name, "last words")
    await api.order(notebook, "stop")
    async with stream(api, f"/v1/notebook/{notebook}/log?follow=true") as lines:
        assert [line["content"] for line in await lines.rest()] == ["last words"]


async def test_a_waiting_notebook_has_an_empty_log(api: Api) -> None:
    await api.create(resources={"gpu": 2})
    said = await api.call("GET", f"/v1/notebook/{await api.create()}/log")
    assert said.body == {"logs": []}


async def test_a_follower_that_leaves_disturbs_nobody(api: Api) -> None:
    notebook = await api.create()
    async with stream(api, f"/v1/notebook/{notebook}/log?follow=true"):
        await api.house.quiet()
    api.world.engine.say(api.container(notebook).spec.name, "to nobody")
    await api.house.quiet()
    assert await api.state(notebook) == "RUNNING"


# events


async def test_events_are_lines_of_increasing_id(api: Api) -> None:
    notebook = await api.create()
    async with stream(api, "/v1/event") as lines:
        seen = await lines.rest()
    assert [each["id"] for each in seen] == sorted({each["id"] for each in seen})
    assert {each["notebook"] for each in seen} == {notebook}
    assert [(e.get("before"), e["after"]) for e in seen if e["type"] == "notebook.state"] == [
        (None, "STARTING"),
        ("STARTING", "RUNNING"),
    ]
    assert seen[0]["actor"] == "root"
    assert seen[0]["at"].endswith("Z")
    assert None not in [value for each in seen for value in each.values()]


async def test_events_are_resumed_after_the_last_one_seen(api: Api) -> None:
    notebook = await api.create()
    async with stream(api, "/v1/event") as lines:
        first = await lines.rest()
    await api.order(notebook, "stop")
    async with stream(api, f"/v1/event?after={first[-1]['id']}") as lines:
        later = await lines.rest()
    async with stream(api, "/v1/event?after=0") as lines:
        assert await lines.rest() == first + later
    assert later[0]["after"] == "STOPPING"
    async with stream(api, f"/v1/event?after={later[-1]['id']}") as lines:
        assert await lines.rest() == []


async def test_events_are_followed(api: Api) -> None:
    notebook = await api.create()
    newest = api.house.store.last_event_id()
    async with stream(api, f"/v1/event?follow=true&after={newest}") as lines:
        await api.order(notebook, "stop")
        states = [(await lines.next()).get("after") for _ in range(4)]
        assert states == ["STOPPING", "STOPPING", None, "STOPPED"]


async def test_events_of_one_notebook(api: Api) -> None:
    notebook, other = await api.create(), await api.create()
    for query in (f"notebook={notebook}", f"notebook={notebook.upper()}"):
        async with stream(api, f"/v1/event?{query}") as lines:
            assert {each["notebook"] for each in await lines.rest()} == {notebook}
    newest = api.house.store.last_event_id()
    async with stream(api, f"/v1/event?follow=true&after={newest}&notebook={notebook}") as lines:
        await api.order(other, "stop")
        await api.order(notebook, "stop")
        assert (await lines.next())["notebook"] == notebook


async def events_of(api: Api, query: str) -> list[dict[str, Any]]:
    async with stream(api, f"/v1/event?{query}") as lines:
        return await lines.rest()


async def test_events_since_a_time_of_a_type_and_the_newest_of_them(api: Api) -> None:
    await api.create()
    moment = api.house.world.clock.now()
    await api.house.pass_time(60)
    await api.create()
    every = await events_of(api, "after=0")
    since = moment + timedelta(seconds=30)
    late = [each for each in every if parse_rfc3339(each["at"]) >= since]
    assert 0 < len(late) < len(every)
    assert await events_of(api, f"since={quote(rfc3339(since))}") == late
    assert await events_of(api, "since=30s") == late
    assert await events_of(api, f"after={late[0]['id']}&since=30s") == late[1:]
    kinds = {each["type"] for each in every}
    kind = next(each for each in sorted(kinds) if "." in each)
    exact = [each for each in every if each["type"] == kind]
    assert await events_of(api, f"type={kind}") == exact
    family = kind.partition(".")[0]
    assert await events_of(api, f"type={family}&type=none") == [
        each for each in every if each["type"].startswith(f"{family}.")
    ]
    assert await events_of(api, f"type={family[:-1]}") == []
    assert await events_of(api, "limit=2") == every[-2:]
    assert await events_of(api, f"limit=1&type={kind}") == exact[-1:]


async def test_the_newest_events_are_shown_before_those_that_follow(api: Api) -> None:
    await api.create()
    every = await events_of(api, "after=0")
    async with stream(api, "/v1/event?follow=true&limit=2") as lines:
        assert [await lines.next(), await lines.next()] == every[-2:]
        await api.create()
        assert (await lines.next())["id"] > every[-1]["id"]


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "since=soon", "limit=100001"])
async def test_events_asked_for_wrongly_are_refused(api: Api, query: str) -> None:
    assert (await api.call("GET", f"/v1/event?{query}")).status == 400


async def test_events_of_an_id_that_is_none_are_not_found(api: Api) -> None:
    said = await api.call("GET", "/v1/event?notebook=nonsense")
    assert (said.status, said.code) == (404, "not-found")


async def test_events_of_a_deleted_notebook_stay(api: Api) -> None:
    notebook = await api.create()
    await api.call("DELETE", f"/v1/notebook/{notebook}?force=true")
    async with stream(api, f"/v1/event?notebook={notebook}") as lines:
        assert (await lines.rest())[-1]["type"] == "notebook.deleted"


async def test_events_that_are_not_kept_any_more_are_not_passed_over_in_silence(api: Api) -> None:
    notebook = await api.create()
    await api.order(notebook, "stop")
    last = api.house.store.last_event_id()
    await api.house.pass_time(3 * 86_400)
    await api.order(notebook, "start")
    async with stream(api, "/v1/event") as lines:
        kept = await lines.rest()
    first = kept[0]["id"]
    assert first == last  # whatever its age, the newest was kept: ids are counted on from it
    said = await api.call("GET", "/v1/event?after=1")
    assert (said.status, said.code, said.body["details"]) == (409, "conflict", {"first": first})
    async with stream(api, f"/v1/event?after={first - 1}") as lines:
        assert await lines.rest() == kept


async def test_a_follower_whose_events_are_rare_is_not_cut_when_others_are_forgotten(api: Api) -> None:
    quiet, busy = await api.create(), await api.create(resources={"cpu": 1})
    newest = api.house.store.last_event_id()
    async with stream(api, f"/v1/event?follow=true&after={newest}&notebook={quiet}") as lines:
        for _ in range(3):
            await api.order(busy, "stop")
            await api.order(busy, "start")
        await api.house.pass_time(2 * 86_400)
        await api.order(quiet, "stop")
        assert (await lines.next())["notebook"] == quiet
    assert api.house.store.first_event_id() > newest + 1


# exec


@asynccontextmanager
async def command(api: Api, notebook: str, *words: str, **query: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A command in a notebook."""
    params = [("command", word) for word in words] + list(query.items())
    url = f"http://localhost/v1/notebook/{notebook}/exec"
    async with asyncio.timeout(PATIENCE_S), api.session.ws_connect(url, params=params) as socket:
        yield socket


async def frames(socket: aiohttp.ClientWebSocketResponse) -> tuple[Mapping[int, bytes], int]:
    """What it wrote, by stream, and its exit code."""
    written: dict[int, bytes] = {}
    async for message in socket:
        assert message.type is aiohttp.WSMsgType.BINARY
        kind, data = message.data[0], message.data[1:]
        if kind == 3:
            code = json.loads(data)
            assert code.keys() == {"exitCode"}
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            return written, code["exitCode"]
        written[kind] = written.get(kind, b"") + data
    raise AssertionError("no end was told")


async def test_a_commands_output_and_status_come_in_frames(api: Api) -> None:
    notebook = await api.create()
    async with command(api, notebook, "sh", "-c", "echo out; echo err >&2; exit 7") as socket:
        assert await frames(socket) == ({1: b"out\n", 2: b"err\n"}, 7)


async def test_a_command_reads_its_stdin_to_the_end(api: Api) -> None:
    notebook = await api.create()
    async with command(api, notebook, "cat", stdin="true") as socket:
        await socket.send_bytes(b"\x00hello ")
        await socket.send_bytes(b"\x00world")
        await socket.send_bytes(b"\x00")
        assert await frames(socket) == ({1: b"hello world"}, 0)


async def test_a_terminal_is_told_its_size(api: Api) -> None:
    notebook = await api.create()
    async with command(api, notebook, "sh", "-c", "read x; stty size", stdin="true", tty="true") as socket:
        await socket.send_bytes(b'\x04{"width": 100, "height": 40}')
        await socket.send_bytes(b"\x00\n")
        written, code = await frames(socket)
        assert code == 0
        assert b"40 100" in written[1]


async def test_frames_that_make_no_sense_are_passed_over(api: Api) -> None:
    notebook = await api.create()
    async with command(api, notebook, "cat", stdin="true") as socket:
        for nonsense in (b"", b"\x04", b"\x04[]", b'\x04{"width": -1}', b"\x09?", b"\x03{}", b"\xff" * 100):
            await socket.send_bytes(nonsense)
        await socket.send_str("a text")
        await socket.send_bytes(b"\x00ok")
        await socket.send_bytes(b"\x00")
        assert await frames(socket) == ({1: b"ok"}, 0)


async def test_a_command_that_is_not_there_ends_with_127(api: Api) -> None:
    notebook = await api.create()
    async with command(api, notebook, "no-such-program") as socket:
        written, code = await frames(socket)
        assert code == 127
        assert b"no-such-program" in written[2]


async def test_a_client_that_leaves_hangs_up(api: Api) -> None:
    notebook = await api.create()
    before = len(asyncio.all_tasks())
    async with command(api, notebook, "sleep", "1000000"):
        await api.house.quiet()
        assert len(asyncio.all_tasks()) > before
    async with asyncio.timeout(PATIENCE_S):
        while len(asyncio.all_tasks()) > before:
            await api.house.quiet()
    assert await api.state(notebook) == "RUNNING"


async def test_without_upgrade_it_is_a_400(api: Api) -> None:
    notebook = await api.create()
    said = await api.call("GET", f"/v1/notebook/{notebook}/exec?command=true")
    assert (said.status, said.code) == (400, "invalid-request")


@pytest.mark.parametrize(
    ("query", "stopped", "status"), [("", False, 400), ("tty=maybe&command=ls", False, 400), ("command=ls", True, 409)]
)
async def test_a_command_that_cannot_run_is_refused_before_the_upgrade(
    api: Api, query: str, stopped: bool, status: int
) -> None:
    notebook = await api.create()
    if stopped:
        await api.order(notebook, "stop")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await api.session.ws_connect(f"http://localhost/v1/notebook/{notebook}/exec?{query}")
    assert refused.value.status == status


async def test_a_websocket_of_a_browser_is_refused(api: Api) -> None:
    notebook = await api.create()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await api.session.ws_connect(
            f"http://localhost/v1/notebook/{notebook}/exec?command=ls", headers={"Origin": "http://localhost"}
        )
    assert refused.value.status == 403


async def test_a_container_that_ends_as_the_command_begins_is_a_conflict(api: Api) -> None:
    notebook = await api.create()
    name = api.container(notebook).spec.name
    api.world.engine.before("exec", lambda: api.world.engine.end(name, 0))
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await api.session.ws_connect(f"http://localhost/v1/notebook/{notebook}/exec?command=ls")
    assert refused.value.status == 409


@pytest.mark.parametrize(
    ("words", "program"),
    [
        (["git", "clone", "https://me:hunter2@example.org"], {"program": "git"}),
        (["/opt/tools/bin/train.py", "--key=hunter2"], {"program": "train.py"}),
        (["KEY=hunter2 train"], {}),
        (["hunter2/"], {}),
    ],
)
async def test_a_command_is_on_record_by_who_ran_it_and_its_programs_name_alone(
    api: Api, words: list[str], program: dict[str, str]
) -> None:
    notebook = await api.create(envVars=[{"name": "SECRET", "value": "hunter2"}])
    newest = api.house.store.last_event_id()
    async with command(api, notebook, *words) as socket:
        await frames(socket)
    async with stream(api, f"/v1/event?after={newest}") as lines:
        (event,) = await lines.rest()
    assert (event["type"], event["actor"], event["notebook"]) == ("notebook.command", "root", notebook)
    assert event.get("details", {}) == program
    assert "hunter2" not in json.dumps(event)


async def test_a_command_that_is_refused_is_not_on_record(api: Api) -> None:
    notebook = await api.create()
    newest = api.house.store.last_event_id()
    for query in ("command=ls", "command=a%00b"):
        assert (await api.call("GET", f"/v1/notebook/{notebook}/exec?{query}")).status == 400
    assert api.house.store.last_event_id() == newest


async def test_input_where_there_is_none_or_behind_its_end_is_passed_over(api: Api) -> None:
    notebook = await api.create()
    async with command(api, notebook, "cat") as socket:
        await socket.send_bytes(b"\x00nobody reads this")
        assert await frames(socket) == ({}, 0)
    async with command(api, notebook, "cat", stdin="true") as socket:
        for data in (b"all", b"", b"too late", b""):
            await socket.send_bytes(b"\x00" + data)
        assert await frames(socket) == ({1: b"all"}, 0)


@pytest.mark.parametrize("size", ['{"width": 0, "height": 5}', '{"width": 70000, "height": 5}', '{"width": 5}', "null"])
async def test_a_size_that_no_terminal_has_is_passed_over(api: Api, size: str) -> None:
    notebook = await api.create()
    async with command(api, notebook, "sh", "-c", "read x; stty size", stdin="true", tty="true") as socket:
        await socket.send_bytes(b'\x04{"width": 90, "height": 30}')
        await socket.send_bytes(b"\x04" + size.encode())
        await socket.send_bytes(b"\x00\n")
        written, _ = await frames(socket)
        assert b"30 90" in written[1]


@dataclass
class _Forgotten:
    session: ExecSession

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    async def exit_code(self) -> int:
        raise EngineError("cannot look at a command: the engine has forgotten it")


async def test_a_command_has_more_variables_and_a_folder(api: Api) -> None:
    notebook = await api.create()
    more = {"env": "GREETING=good=morning", "workingDir": "/workspace/data"}
    async with command(api, notebook, "sh", "-c", "echo $GREETING; pwd", **more) as socket:
        assert await frames(socket) == ({1: b"good=morning\n/workspace/data\n"}, 0)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("env=1A=b", "$query.env[0].name"),
        ("env=A=b&env=A=c", "$query.env[1].name"),
        ("env=A=%00", "$query.env[0].value"),
        ("workingDir=data", "$query.workingDir"),
        ("workingDir=/a%00b", "$query.workingDir"),
    ],
)
async def test_what_is_no_variable_or_folder_runs_nothing(api: Api, query: str, path: str) -> None:
    notebook = await api.create()
    said = await api.call("GET", f"/v1/notebook/{notebook}/exec?command=true&{query}")
    assert (said.status, list(said.faults)) == (400, [path])


class Forgetful(FakeEngine):
    """An engine that knows nothing of a command once it has ended."""

    @asynccontextmanager
    async def exec(self, name: str, command: tuple[str, ...], **more: Any) -> AsyncIterator[ExecSession]:
        async with super().exec(name, command, **more) as session:
            yield _Forgotten(session)  # type: ignore[misc]


async def test_an_engine_that_fails_while_a_command_runs_ends_the_websocket_with_1011(api: Api) -> None:
    notebook = await api.create()
    services, world = api.house.services, api.world
    engine = Forgetful(world.engine, services.instance)
    services.commands = Commands(api.house.store, world.clock, engine)
    async with command(api, notebook, "true") as socket:
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1011
