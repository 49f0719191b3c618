# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from msgspec.structs import replace

from notebookd import routes
from notebookd.routes import Activity, Route

A = "11111111-1111-4111-8111-111111111111"
B = "22222222-2222-4222-8222-222222222222"
ROUTE = Route(notebook=A, name="n", owner="alice", owner_uid=1001, state="RUNNING", token_hash="ab" * 32, reason="why")


def test_route_comes_back_as_written_with_documented_keys(tmp_path: Path) -> None:
    routes.write_route(tmp_path, ROUTE)
    assert routes.find_route(tmp_path, A) == ROUTE
    assert json.loads((tmp_path / f"{A}.json").read_text()) == {
        "notebook": A,
        "name": "n",
        "owner": "alice",
        "ownerUid": 1001,
        "state": "RUNNING",
        "unsecureHttp": False,
        "sessionKey": None,
        "tokenHash": "ab" * 32,
        "reason": "why",
    }


def test_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        routes.write_route(tmp_path, ROUTE)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / f"{A}.json").stat().st_mode) == 0o640


def test_a_route_is_replaced_by_another_inode_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    routes.write_route(tmp_path, ROUTE)
    first = (tmp_path / f"{A}.json").open()
    routes.write_route(tmp_path, replace(ROUTE, state="STOPPED"))
    assert json.load(first)["state"] == "RUNNING"
    first.close()
    assert list(tmp_path.iterdir()) == [tmp_path / f"{A}.json"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"notebook": 1}', f'{{"notebook": "{A}"}}', "\xff"],
)
def test_garbled_route_is_no_route(tmp_path: Path, content: str) -> None:
    (tmp_path / f"{A}.json").write_text(content, encoding="latin-1")
    assert routes.find_route(tmp_path, A) is None


def test_route_of_another_notebook_under_this_name_is_no_route(tmp_path: Path) -> None:
    routes.write_route(tmp_path, ROUTE)
    (tmp_path / f"{A}.json").rename(tmp_path / f"{B}.json")
    assert routes.find_route(tmp_path, B) is None


def test_absent_things_are_none_and_removal_says_so(tmp_path: Path) -> None:
    assert routes.find_route(tmp_path, A) is None
    assert routes.find_route(tmp_path / "nowhere", A) is None
    assert not routes.remove_route(tmp_path, A)
    assert not routes.remove_route(tmp_path / "nowhere", A)
    routes.write_route(tmp_path, ROUTE)
    assert routes.remove_route(tmp_path, A)
    assert routes.find_route(tmp_path, A) is None


def test_listing_passes_over_strange_names(tmp_path: Path) -> None:
    routes.write_route(tmp_path, ROUTE)
    routes.write_route(tmp_path, replace(ROUTE, notebook=B))
    (tmp_path / "README.json").write_text("{}")
    (tmp_path / ".draft.tmp").write_text("{}")
    assert routes.list_published(tmp_path) == [A, B]


@pytest.mark.parametrize("notebook", ["", "..", "../x", A.upper().replace("1", "A"), A + "\n", "{" + A + "}"])
def test_only_ids_name_files(tmp_path: Path, notebook: str) -> None:
    with pytest.raises(ValueError, match="not a UUID"):
        routes.find_route(tmp_path, notebook)


def test_activity_comes_back_as_written_with_documented_keys(tmp_path: Path) -> None:
    activity = Activity(last_activity_at=None, connections=2, updated_at=12.5)
    routes.write_activity(tmp_path, A, activity)
    assert routes.find_activity(tmp_path, A) == activity
    assert routes.list_activity(tmp_path) == {A: activity}
    assert json.loads((tmp_path / f"{A}.json").read_text()) == {
        "lastActivityAt": None,
        "connections": 2,
        "updatedAt": 12.5,
    }
    (tmp_path / f"{A}.json").write_text("{}")
    assert routes.find_activity(tmp_path, A) is None
    with pytest.raises(ValueError, match="lastActivityAt"):
        routes.read_activity(tmp_path, A)
    assert routes.remove_activity(tmp_path, A)
    assert routes.read_activity(tmp_path, A) is None
    assert routes.list_activity(tmp_path) == {}


def test_activity_is_kept_as_long_as_its_keeper_holds_on(tmp_path: Path) -> None:
    assert not routes.activity_is_kept(tmp_path / "nowhere")
    assert not routes.activity_is_kept(tmp_path)
    kept = routes.keep_activity(tmp_path)
    assert routes.activity_is_kept(tmp_path)
    with pytest.raises(BlockingIOError):
        routes.keep_activity(tmp_path)
    assert routes.activity_is_kept(tmp_path)
    assert routes.list_activity(tmp_path) == {}
    os.close(kept)
    assert not routes.activity_is_kept(tmp_path)


def test_a_lock_that_is_a_link_is_nobodys_word(tmp_path: Path) -> None:
    (tmp_path / "kept.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"kept\.lock"):
        routes.keep_activity(tmp_path)
    with pytest.raises(OSError, match=r"kept\.lock"):
        routes.activity_is_kept(tmp_path)
