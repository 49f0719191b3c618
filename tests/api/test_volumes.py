# SPDX-License-Identifier: Apache-2.0
"""Volumes of a specification: what is asked for, what is answered, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from notebookd.testing.house import World, make_world
from tests.api.caller import SPEC, Api
from tests.api.people import People

SETS: dict[str, Any] = {
    "mountPath": "/data",
    "permission": "RO",
    "cache": False,
    "dataStore": {"alias": "DATA", "container": "sets", "prefix": "a b/c"},
}
CODE = {"mountPath": "/code", "permission": "RW", "cache": False, "publicGit": {"url": "https://h.org/a.git"}}
SCRATCH = {"mountPath": "/workspace/tmp", "permission": "RW", "cache": False, "standalone": {}}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A machine with a datastore for everybody to read, and one for staff."""
    stores = [
        {"alias": "DATA", "path": str(tmp_path / "data"), "read": ["*"]},
        {"alias": "STAFF", "path": str(tmp_path / "staff"), "read": ["@staff"], "write": ["@staff"]},
        {"alias": "OPEN", "path": str(tmp_path / "open"), "read": ["*"], "write": ["*"]},
    ]
    return make_world(tmp_path, settings={"datastore": stores})


async def test_volumes_are_answered_as_they_were_asked_for(api: Api) -> None:
    found = await api.get(await api.create(volumes=[SETS, CODE, SCRATCH]))
    assert found["spec"]["volumes"] == [SETS, CODE, SCRATCH]
    states = found["status"]["volumes"]
    assert [each["mountPath"] for each in states] == ["/data", "/code", "/workspace/tmp"]
    assert len({each["id"] for each in states}) == 3


async def test_volumes_as_people_write_them_are_the_same(api: Api) -> None:
    words = ["sets@DATA/a b/c:/data", "https://h.org/a.git:/code:RW", "standalone:/workspace/tmp"]
    found = await api.get(await api.create(volumes=words))
    assert found["spec"]["volumes"] == [SETS, CODE, SCRATCH]


async def test_slashes_at_an_end_mean_nothing(api: Api) -> None:
    spoken = {**SETS, "mountPath": "/data/", "permission": "r", "dataStore": {**SETS["dataStore"], "prefix": "/a b/c/"}}
    assert (await api.get(await api.create(volumes=[spoken])))["spec"]["volumes"] == [SETS]


async def test_the_command_line_has_them(api: Api) -> None:
    said = await api.call("POST", "/v1/notebook/command", {**SPEC, "volumes": [SETS, CODE, SCRATCH]})
    assert said.body["command"] == (
        "notebookctl run conda jupyterlab --volume 'sets@DATA/a b/c:/data' "
        "--volume https://h.org/a.git:/code:rw --volume standalone:/workspace/tmp"
    )


async def test_the_same_volumes_are_no_change_while_it_runs(api: Api) -> None:
    notebook = await api.create(volumes=[SCRATCH])
    same = await api.call("PUT", f"/v1/notebook/{notebook}", {"volumes": ["standalone:/workspace/tmp/:rw"]})
    assert same.status == 204
    other = await api.call("PUT", f"/v1/notebook/{notebook}", {"volumes": []})
    assert (other.status, other.code) == (409, "conflict")


@pytest.mark.parametrize("word", ["r", "ro", "RO", "Ro", "rw", "RWD"])
async def test_permissions_are_read_in_any_case_and_answered_in_one(api: Api, word: str) -> None:
    volume = {"mountPath": "/d", "permission": word, "dataStore": {"alias": "OPEN", "container": ""}}
    (found,) = (await api.get(await api.create(volumes=[volume])))["spec"]["volumes"]
    assert found["permission"] == {"R": "RO"}.get(word.upper(), word.upper())


def store(alias: str = "DATA", **more: Any) -> dict[str, Any]:
    return {"mountPath": "/d", "permission": "ro", "dataStore": {"alias": alias, "container": "c"}, **more}


def git(url: str) -> dict[str, Any]:
    return {"mountPath": "/d", "permission": "ro", "publicGit": {"url": url}}


AT = "$.volumes[0]"
BAD: dict[str, tuple[list[Any], set[str]]] = {
    "no source": ([{"mountPath": "/d", "permission": "ro"}], {AT}),
    "two sources": ([store(standalone={})], {AT}),
    "a cloud's own": (
        [{"mountPath": "/d", "permission": "ro", "privateSwift": {"container": "c", "region": "GRA"}}],
        {f"{AT}.privateSwift"},
    ),
    "a public container": (
        [{"mountPath": "/d", "permission": "ro", "publicSwift": {"url": "https://h/c"}}],
        {f"{AT}.publicSwift"},
    ),
    "a target": ([store(targetDataStore={"alias": "DATA", "container": "c"})], {f"{AT}.targetDataStore"}),
    "an archive": (
        [store(dataStore={"alias": "DATA", "container": "c", "archive": "a.tar"})],
        {f"{AT}.dataStore.archive"},
    ),
    "a permission that is none": ([store(permission="x")], {f"{AT}.permission"}),
    "no permission": ([{"mountPath": "/d", "standalone": {}}], {f"{AT}.permission"}),
    "not to be written to": ([store(permission="rw")], {f"{AT}.permission"}),
    "a datastore that is not there": ([store("NONE")], {f"{AT}.dataStore.alias"}),
    "a prefix that leads out": (
        [store(dataStore={"alias": "DATA", "container": "c", "prefix": "a/../../b"})],
        {f"{AT}.dataStore.prefix"},
    ),
    "a container that leads out": (
        [store(dataStore={"alias": "DATA", "container": ".."})],
        {f"{AT}.dataStore.container"},
    ),
    "over the workspace": ([store(mountPath="/workspace")], {f"{AT}.mountPath"}),
    "over everything": ([store(mountPath="/")], {f"{AT}.mountPath"}),
    "in the system": ([store(mountPath="/usr/lib")], {f"{AT}.mountPath"}),
    "leading out of the workspace": ([store(mountPath="/workspace/../etc")], {f"{AT}.mountPath"}),
    "with a blank": ([store(mountPath="/a b")], {f"{AT}.mountPath"}),
    "too long": ([store(mountPath="/" + "x" * 50)], {f"{AT}.mountPath"}),
    "relative": ([store(mountPath="data")], {f"{AT}.mountPath"}),
    "twice": ([store(), store()], {"$.volumes[1].mountPath"}),
    "in each other": ([store(), store(mountPath="/d/e")], {"$.volumes[1].mountPath"}),
    "eleven": ([store(mountPath=f"/d{number}") for number in range(11)], {"$.volumes"}),
    "git with a password": ([git("https://me:secret@h.org/a.git")], {f"{AT}.publicGit.url"}),
    "git from a file": ([git("file:///etc/passwd")], {f"{AT}.publicGit.url"}),
    "git that is an option": ([git("--upload-pack=touch /tmp/x")], {f"{AT}.publicGit.url"}),
    "git by a program": ([git("ext::sh -c id")], {f"{AT}.publicGit.url"}),
    "a cache to be written to": ([store("OPEN", permission="rw", cache=True)], {f"{AT}.cache"}),
    "a text that is none": (["sets@DATA"], {AT}),
    "a text that is at fault": (["sets@DATA:/etc/x"], {f"{AT}.mountPath"}),
    "a number": ([7], {AT}),
    "a field that nobody knows": ([store(colour="red")], {f"{AT}.colour"}),
    "each its own": (
        [7, {"mountPath": "/d"}, store(mountPath="/")],
        {AT, "$.volumes[1].permission", "$.volumes[1]", "$.volumes[2].mountPath"},
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_volumes_at_fault_are_refused_with_the_path_of_the_fault(api: Api, case: str, people: People) -> None:
    volumes, paths = BAD[case]
    said = await api.ask_as(people.alice, "POST", "/v1/notebook", {**SPEC, "volumes": volumes})
    assert (said.status, said.code) == (400, "invalid-request")
    assert said.faults.keys() == paths, said.faults
    assert "secret" not in said.body["message"]


async def test_whose_datastore_it_is_not_learns_nothing_of_it(api: Api, people: People) -> None:
    async def refused(alias: str) -> str:
        said = await api.ask_as(people.alice, "POST", "/v1/notebook", {**SPEC, "volumes": [f"c@{alias}:/d"]})
        assert said.status == 400
        return str(said.body["message"]).replace(alias, "X")

    assert await refused("STAFF") == await refused("NONE")
    assert (await api.call("POST", "/v1/notebook", {**SPEC, "volumes": ["c@STAFF:/d:rwd"]})).status == 200


async def test_the_board_and_the_queue_name_no_data(api: Api, people: People) -> None:
    for _ in range(3):
        await api.create(volumes=["top-secret@DATA/bomb:/mnt/plans"])
    for path in ("/v1/gpu", "/v1/queue"):
        said = await api.ask_as(people.alice, "GET", path)
        assert said.status == 200
        for word in ("top-secret", "bomb", "plans"):
            assert word not in str(said.body)
