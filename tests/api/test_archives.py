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
from notebookd.domain.ids import NotebookId
from notebookd.errors import EngineError, VolumeFault
from notebookd.service.archives import Archives
from notebookd.testing.house import World, make_world
from tests.api.caller import NOWHERE, Api, Said
from tests.api.people import People

GIT = "https://git.example/code.git"


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


async def test_the_longest_path_fits_into_a_request(api: Api, notebook: str) -> None:
    said = await api.call("GET", f"/v1/notebook/{notebook}/archive?path={'%c3%a4' * 2000}")
    assert said.status == 404


@pytest.mark.parametrize(
    "path", ["..", "a/../../b", "/etc/..", "/workspace/%2e%2e/etc", "a%00b", "x" * 5000, "%2e%2e/x"]
)
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

    async def read_archive(self, *_: object, volume: object = None) -> AsyncIterator[bytes]:
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
    api.house.rule(transfers_at_once=1)
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


class TestVolumes:
    """GET /v1/notebook/{id}/archive?path=/MOUNT/…: the notebook's own copy, and whatever its path leads to."""

    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        stores = [
            {"alias": "S3", "type": "rclone", "remote": "s3lab", "read": ["*"], "write": ["*"]},
            {"alias": "DIR", "path": str(tmp_path / "srv"), "read": ["*"]},
        ]
        (tmp_path / "srv" / "sets").mkdir(parents=True)
        made = make_world(tmp_path, settings={"datastore": stores})
        made.movers.remotes["S3"] = {"sets/in/a": b"aa", "sets/in/d/b": b"bbb"}
        made.movers.repositories[GIT] = {"README": b"read me"}
        return made

    @pytest.mark.parametrize("then", ["run on", "stop"])
    @pytest.mark.parametrize(
        ("volume", "path", "names"),
        [
            ("sets@S3/in:/data:rw", "/data", ["data", "data/a", "data/d", "data/d/b"]),
            ("sets@S3/in:/data", "//data/./d/", ["d", "d/b"]),
            (f"{GIT}:/workspace/code", "/workspace/code/README", ["README"]),
            (f"{GIT}:/workspace/code:rw", "code", ["code", "code/README"]),
        ],
    )
    async def test_files_come_out_of_what_was_copied_in(
        self, api: Api, volume: str, path: str, names: list[str], then: str
    ) -> None:
        notebook = await api.create(volumes=[volume, "sets@S3/in:/database"])
        if then == "stop":
            await api.order(notebook, "stop")
        status, body = await get(api, notebook, path)
        assert status == 200
        with tarfile.open(fileobj=io.BytesIO(body)) as stream:
            assert sorted(stream.getnames()) == names

    async def test_what_could_not_be_carried_back_comes_out_and_why_says_how(self, api: Api) -> None:
        notebook = await api.create(volumes=["sets@S3/in:/data:rw"])
        entry = api.house.store.find_entry(NotebookId(notebook))
        assert entry is not None
        (api.world.movers.copy(notebook, entry.run.volumes[0].id) / "odd").write_bytes(b"odd")
        api.world.movers.held = True
        await api.order(notebook, "stop")
        (pushing,) = api.world.movers.movers
        api.world.movers.fail(pushing, "DATASYNC_INCOMPLETE", "1 files cannot be pushed")
        await api.house.quiet()
        assert await api.state(notebook) == "SYNC_FAILED"
        why = await api.call("GET", f"/v1/notebook/{notebook}/why")
        assert "`notebookctl cp NOTEBOOK:/data .` reads it" in str(why.body)
        assert "cp NOTEBOOK:/MOUNT ." in (await api.order(notebook, "start")).body["hint"]
        status, body = await get(api, notebook, "/data/odd")
        assert status == 200
        with tarfile.open(fileobj=io.BytesIO(body)) as stream:
            assert stream.getnames() == ["odd"]

    @pytest.mark.parametrize(
        ("volume", "hint"),
        [
            ("standalone:/data", "notebookctl exec"),
            ("sets@DIR:/data", "at sets@DIR"),
            ("sets@S3/in:/data:ro:cache", "at sets@S3/in"),
        ],
    )
    async def test_of_a_volume_without_a_copy_it_is_said_where_to_look(self, api: Api, volume: str, hint: str) -> None:
        notebook = await api.create(volumes=[volume])
        said = await api.call("GET", f"/v1/notebook/{notebook}/archive?path=/data/x")
        assert (said.status, said.code) == (409, "conflict")
        assert hint in said.body["hint"]

    async def test_what_is_still_to_come_in_is_not_there_yet(self, api: Api) -> None:
        api.world.movers.held = True
        notebook = await api.create(volumes=["sets@S3/in:/data"])
        said = await api.call("GET", f"/v1/notebook/{notebook}/archive?path=/data")
        assert (said.status, said.code) == (409, "conflict")
        assert "still to be brought in" in said.body["message"]

    @pytest.mark.parametrize("path", ["/", "/etc/passwd", "/databases", "/workspaces/x", "%2fetc", "/a%0ab"])
    async def test_a_path_in_no_volume_is_not_found_with_those_that_there_are(self, api: Api, path: str) -> None:
        notebook = await api.create(volumes=["sets@S3/in:/data"])
        said = await api.call("GET", f"/v1/notebook/{notebook}/archive?path={path}")
        assert (said.status, said.code) == (404, "not-found")
        assert said.body["hint"] == "what it has is at /workspace, /data"

    async def test_the_workspace_may_be_named_from_the_root(self, api: Api) -> None:
        notebook = await api.create()
        for path in ("/workspace/in", "//workspace/./in/"):
            assert (await put(api, notebook, path, tar(a=b"aa"))).status == 204
            assert (await get(api, notebook, f"{path}/a"))[0] == 200
        assert (workspace(api, notebook) / "in" / "a").exists()

    @pytest.mark.parametrize("path", ["/", "/data", "/data/x", "/etc", "%2fetc", "/workspaces"])
    async def test_nothing_is_written_beside_the_workspace(self, api: Api, path: str) -> None:
        notebook = await api.create(volumes=["sets@S3/in:/data:rwd"])
        said = await put(api, notebook, path, tar(a=b"aa"))
        assert (said.status, set(said.faults)) == (400, {"$query.path"})
        assert "must be in /workspace" in str(said.body)

    async def test_they_are_nobody_elses(self, api: Api, people: People) -> None:
        notebook = await api.create(volumes=["sets@S3/in:/data"])
        for path in ("/data", "/etc"):
            said = await api.ask_as(people.alice, "GET", f"/v1/notebook/{notebook}/archive?path={path}")
            assert (said.status, said.code) == (403, "forbidden")
