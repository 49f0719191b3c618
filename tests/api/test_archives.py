# SPDX-License-Identifier: Apache-2.0
"""Files into and out of a workspace, as streams of any length."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from notebookd.api.call import MAX_BODY
from notebookd.errors import EngineError, VolumeFault
from notebookd.service.archives import Archives
from tests.api.caller import NOWHERE, Api, Said
from tests.api.people import People


def tar(**files: bytes) -> bytes:
    """A stream of these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w|") as stream:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            stream.addfile(member, io.BytesIO(content))
    return out.getvalue()


def workspace(api: Api, notebook: str) -> Path:
    return api.world.config.paths.workspaces / notebook


async def get(api: Api, notebook: str, path: str = "") -> tuple[int, bytes]:
    url = f"http://localhost/v1/notebook/{notebook}/archive?path={path}"
    async with api.session.get(url) as answer:
        return answer.status, await answer.read()


async def put(api: Api, notebook: str, path: str, body: bytes) -> Said:
    return await api.call("PUT", f"/v1/notebook/{notebook}/archive?path={path}", raw=body)


@pytest.fixture
async def notebook(api: Api) -> str:
    """One that runs."""
    return await api.create()


async def test_what_goes_in_comes_out(api: Api, notebook: str) -> None:
    assert (await put(api, notebook, "data", tar(a=b"aa", b=b"bbb"))).status == 204
    assert (workspace(api, notebook) / "data" / "a").read_bytes() == b"aa"
    status, body = await get(api, notebook, "data")
    assert status == 200
    with tarfile.open(fileobj=io.BytesIO(body)) as stream:
        assert stream.getnames()[0] == "data"
        assert set(stream.getnames()) == {"data", "data/a", "data/b"}


async def test_it_works_while_the_notebook_is_stopped(api: Api, notebook: str) -> None:
    await api.order(notebook, "stop")
    assert (await put(api, notebook, "", tar(a=b"aa"))).status == 204
    assert (await get(api, notebook, "a"))[0] == 200


async def test_there_is_no_bound_on_the_length(api: Api, notebook: str) -> None:
    large = b"x" * (4 * MAX_BODY)
    assert (await put(api, notebook, "", tar(large=large))).status == 204
    assert (workspace(api, notebook) / "large").stat().st_size == len(large)
    assert len((await get(api, notebook, "large"))[1]) > len(large)


async def test_a_stream_of_unknown_length_is_taken(api: Api, notebook: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        body = tar(a=b"x" * 100_000)
        for place in range(0, len(body), 7_000):
            yield body[place : place + 7_000]

    url = f"http://localhost/v1/notebook/{notebook}/archive"
    async with api.session.put(url, data=chunks()) as answer:
        assert answer.status == 204
    assert (workspace(api, notebook) / "a").stat().st_size == 100_000


async def test_what_is_not_there_is_not_found(api: Api, notebook: str) -> None:
    said = await api.call("GET", f"/v1/notebook/{notebook}/archive?path=nothing")
    assert (said.status, said.code) == (404, "not-found")
    for method in ("GET", "PUT"):
        assert (await api.call(method, f"/v1/notebook/{NOWHERE}/archive")).status == 404


@pytest.mark.parametrize("path", ["..", "a/../../b", "/etc", "%2fetc", "a%00b", "x" * 5000, "%2e%2e/x"])
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_path_that_leads_elsewhere_is_refused(api: Api, notebook: str, method: str, path: str) -> None:
    said = await api.call(method, f"/v1/notebook/{notebook}/archive?path={path}")
    assert (said.status, set(said.faults)) == (400, {"$query.path"})


async def test_a_notebook_that_goes_or_has_no_workspace_yet_has_no_files(api: Api) -> None:
    queued = [await api.create(resources={"gpu": 2}) for _ in range(2)][1]
    for method in ("GET", "PUT"):
        said = await api.call(method, f"/v1/notebook/{queued}/archive")
        assert (said.status, said.code) == (409, "conflict")
    api.world.engine.reachable = False
    await api.call("DELETE", f"/v1/notebook/{queued}?force=true")


async def test_files_are_their_owners_and_the_admins(api: Api, notebook: str, people: People) -> None:
    for method in ("GET", "PUT"):
        said = await api.ask_as(people.alice, method, f"/v1/notebook/{notebook}/archive")
        assert (said.status, said.code) == (403, "forbidden")


async def test_what_is_no_archive_is_told(api: Api, notebook: str) -> None:
    said = await put(api, notebook, "", b"this is no tar" * 100)
    assert said.status in {400, 409, 503}
    assert "tar" in said.body["message"]


async def test_a_sender_that_leaves_half_way_leaves_nothing(api: Api, notebook: str) -> None:
    reader, writer = await asyncio.open_unix_connection(str(api.socket))
    body = tar(a=b"x" * 200_000)
    head = f"PUT /v1/notebook/{notebook}/archive HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body[:100_000])
    await writer.drain()
    await api.house.quiet()
    writer.close()
    await writer.wait_closed()
    await api.house.quiet()
    assert await reader.read() == b""
    assert not (workspace(api, notebook) / "a").exists()
    assert (await put(api, notebook, "", body)).status == 204


async def test_a_reader_that_leaves_half_way_harms_nobody(api: Api, notebook: str) -> None:
    await put(api, notebook, "", tar(large=b"x" * 8_000_000))
    async with api.session.get(f"http://localhost/v1/notebook/{notebook}/archive?path=large") as answer:
        assert len(await answer.content.readexactly(1000)) == 1000
        answer.close()
    assert (await get(api, notebook, "large"))[0] == 200


class _BreaksOff(Archives):
    """Archives whose mover dies after the first bytes."""

    def __init__(self) -> None:
        pass

    @asynccontextmanager
    async def read(self, *_: object) -> AsyncIterator[AsyncIterator[bytes]]:
        yield self._chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        yield b"x" * 1000
        raise VolumeFault("cannot read the files: the mover died", info_code="DATASYNC_ERROR")


async def test_a_stream_that_breaks_off_does_not_look_whole(api: Api, notebook: str) -> None:
    api.house.services.archives = _BreaksOff()
    with pytest.raises(aiohttp.ClientError):
        await get(api, notebook)
    assert await api.state(notebook) == "RUNNING"


class _Meanwhile:
    """Movers in whose work something happens meanwhile."""

    def __init__(self, then: Callable[[], Awaitable[None]]) -> None:
        self._then = then

    async def write_archive(self, *_: object, closed: Sequence[str] = ()) -> int:
        await self._then()
        raise EngineError("cannot see to the files: the mover died without a word")

    async def read_archive(self, *_: object) -> AsyncIterator[bytes]:
        await self._then()
        raise EngineError("cannot see to the files: the mover died without a word")
        yield b""


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("goes", [True, False])
async def test_a_copy_that_meets_the_deletion_of_its_notebook_is_told_so(
    api: Api, notebook: str, method: str, goes: bool
) -> None:
    async def delete() -> None:
        if goes:
            assert (await api.call("DELETE", f"/v1/notebook/{notebook}?force=true")).status == 204

    api.house.services.archives._movers = _Meanwhile(delete)  # type: ignore[assignment]
    said = await api.call(method, f"/v1/notebook/{notebook}/archive", raw=tar(a=b"a") if method == "PUT" else None)
    assert said.status in ({404, 409} if goes else {503})
    assert not goes or "DELETING" in said.body["message"] or "none of that id" in said.body["message"]


async def test_what_belongs_to_a_volume_is_no_part_of_the_workspace(api: Api) -> None:
    notebook = await api.create(volumes=["standalone:/workspace/deep/scratch", "standalone:/elsewhere"])
    for path in ("deep/scratch", "./deep//scratch/below"):
        for method in ("GET", "PUT"):
            said = await api.call(method, f"/v1/notebook/{notebook}/archive?path={path}", raw=None)
            assert (said.status, said.code) == (409, "conflict")
            assert "standalone:/workspace/deep/scratch" in said.body["message"]
    said = await put(api, notebook, "", tar(**{"deep/scratch/x": b"x"}))
    assert (said.status, said.code) == (409, "conflict")
    for path in ("deep", "deep/scratches"):
        assert (await put(api, notebook, path, tar(a=b"a"))).status == 204


async def test_one_person_has_so_many_copies_at_once(api: Api, notebook: str) -> None:
    archives = api.house.services.archives
    archives.patience_s = 0
    api.house.services.syncs._porter.at_once = 1
    await put(api, notebook, "", tar(large=b"x" * 8_000_000))
    async with api.session.get(f"http://localhost/v1/notebook/{notebook}/archive?path=large") as answer:
        assert len(await answer.content.readexactly(1000)) == 1000
        for said in (
            await put(api, notebook, "", tar(a=b"a")),
            await api.call("GET", f"/v1/notebook/{notebook}/archive"),
        ):
            assert (said.status, said.code) == (503, "volume-unavailable")
            assert "1 copies of yours are under way" in said.body["message"]
            assert "at_once" in said.body["hint"]
        answer.close()
    await api.house.quiet()
    archives.patience_s = 20
    assert (await get(api, notebook, "large"))[0] == 200
