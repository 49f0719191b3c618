# SPDX-License-Identifier: Apache-2.0
"""Pages, filters and orders of the list."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.api.caller import Api


async def names(api: Api, query: str = "") -> list[str]:
    """The names on a page."""
    said = await api.call("GET", f"/v1/notebook?{query}")
    assert said.status == 200, said.body
    return [each["spec"]["name"] for each in said.body["items"]]


async def several(api: Api, count: int, **changes: Any) -> list[str]:
    """Notebooks ``nb-0`` ... a second apart; their ids."""
    made = []
    for number in range(count):
        made.append(await api.create(name=f"nb-{number}", resources={"cpu": 1}, **changes))
        await api.house.pass_time(1)
    return made


async def test_an_empty_list_is_a_page_of_nothing(api: Api) -> None:
    said = await api.call("GET", "/v1/notebook")
    assert said.body == {
        "items": [],
        "metadata": {"currentPage": 1, "pageCount": said.body["metadata"]["pageCount"], "total": 0, "links": {}},
    }


async def test_pages_hold_everything_once_and_link_to_the_next(api: Api) -> None:
    await several(api, 7)
    seen: list[str] = []
    path: str | None = "/v1/notebook?size=3&sort=spec.name&order=desc"
    pages = 0
    while path:
        said = await api.call("GET", path)
        assert said.body["metadata"]["total"] == 7
        assert said.body["metadata"]["pageCount"] == 3
        pages += 1
        assert said.body["metadata"]["currentPage"] == pages
        seen += [each["spec"]["name"] for each in said.body["items"]]
        path = said.body["metadata"]["links"].get("next")
    assert pages == 3
    assert seen == [f"nb-{number}" for number in reversed(range(7))]


async def test_a_page_beyond_the_last_is_empty(api: Api) -> None:
    await several(api, 2)
    said = await api.call("GET", "/v1/notebook?page=1000000000&size=1000")
    assert said.body["items"] == []
    assert said.body["metadata"]["total"] == 2


async def test_pages_are_stable_where_the_sorted_field_is_the_same(api: Api) -> None:
    made = [await api.create(resources={"cpu": 1}) for _ in range(6)]
    for sort in ("createdAt", "status.state", "updatedAt"):
        seen: list[str] = []
        for page in (1, 2, 3):
            said = await api.call("GET", f"/v1/notebook?size=2&sort={sort}&page={page}")
            seen += [each["id"] for each in said.body["items"]]
        assert sorted(seen) == sorted(made), sort


async def test_the_list_is_sorted(api: Api) -> None:
    made = await several(api, 3)
    await api.order(made[0], "stop")
    assert await names(api) == ["nb-0", "nb-1", "nb-2"]
    assert await names(api, "sort=createdAt&order=desc") == ["nb-2", "nb-1", "nb-0"]
    assert await names(api, "sort=updatedAt&order=desc") == ["nb-0", "nb-2", "nb-1"]
    assert (await names(api, "sort=status.state&order=desc"))[0] == "nb-0"
    assert (await names(api, "sort=status.state"))[-1] == "nb-0"
    assert sorted(await names(api, "sort=id")) == ["nb-0", "nb-1", "nb-2"]


async def test_the_list_is_filtered_by_state(api: Api) -> None:
    made = await several(api, 3)
    await api.order(made[1], "stop")
    api.world.engine.end(api.container(made[2]).spec.name, 1)
    await api.house.quiet()
    assert await names(api, "statusState=STOPPED") == ["nb-1"]
    assert await names(api, "statusState=STOPPED&statusState=FAILED") == ["nb-1", "nb-2"]
    assert await names(api, "statusState=ERROR") == []
    said = await api.call("GET", "/v1/notebook?statusState=RUNNING")
    assert said.body["metadata"]["total"] == 1


async def test_the_list_is_filtered_by_labels_all_of_them(api: Api) -> None:
    for name, labels in (
        ("none", {}),
        ("red", {"team": "red"}),
        ("both", {"team": "red", "env": "prod"}),
        ("odd", {"a.b/c-d": "x=y"}),
    ):
        await api.create(name=name, labels=labels, resources={"cpu": 1})
    assert await names(api, "labelSelector=team%3Dred&sort=spec.name") == ["both", "red"]
    assert await names(api, "labelSelector=team%3Dred&labelSelector=env%3Dprod") == ["both"]
    assert await names(api, "labelSelector=team%3Dblue") == []
    assert await names(api, f"labelSelector={quote('a.b/c-d=x=y', safe='')}") == ["odd"]
    assert await names(api, f"labelSelector={quote(chr(39) + '=1 OR 1', safe='')}") == []


async def test_one_label_cannot_have_two_values(api: Api) -> None:
    await api.create(name="red", labels={"team": "red"})
    assert await names(api, "labelSelector=team%3Dblue&labelSelector=team%3Dred") == []


async def test_the_list_is_filtered_by_the_time_of_the_last_change(api: Api) -> None:
    made = await several(api, 3)
    middle = int(api.world.clock.now().timestamp())
    await api.house.pass_time(10)
    await api.order(made[0], "stop")
    assert await names(api, f"updatedAfter={middle}") == ["nb-0"]
    assert await names(api, f"updatedBefore={middle}&sort=spec.name") == ["nb-1", "nb-2"]
    assert await names(api, f"updatedAfter={middle}&updatedBefore={middle}") == []


async def test_what_the_sdk_sends_beside_is_ignored(api: Api) -> None:
    await several(api, 1)
    assert await names(api, "withSpark=true") == ["nb-0"]


async def test_a_deleted_notebook_is_not_listed(api: Api) -> None:
    made = await several(api, 2)
    await api.call("DELETE", f"/v1/notebook/{made[0]}?force=true")
    assert await names(api) == ["nb-1"]


@pytest.mark.parametrize("size", [1, 1000])
async def test_the_smallest_and_largest_page(api: Api, size: int) -> None:
    await several(api, 2)
    assert len(await names(api, f"size={size}")) == min(size, 2)


async def test_what_is_made_between_two_pages_is_neither_skipped_nor_seen_twice(api: Api) -> None:
    """All in the same instant: the clock of the house stands still."""
    made = [await api.create(resources={"cpu": 1}) for _ in range(4)]
    seen: list[str] = []
    path: str | None = "/v1/notebook?size=2"
    while path:
        said = await api.call("GET", path)
        seen += [each["id"] for each in said.body["items"]]
        made.append(await api.create(resources={"cpu": 1}))
        path = said.body["metadata"]["links"].get("next")
    assert seen == made[:-1]
    assert len(seen) == 6
