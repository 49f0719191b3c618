# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from notebookd import routes
from notebookd.adapters.route_board import RouteFiles
from notebookd.config import Paths
from notebookd.domain.run import RunState
from tests.values import NOTEBOOK_ID, NOW, notebook, run

OPEN = {RunState.QUEUED, RunState.INITIALIZING, RunState.PENDING, RunState.RUNNING, RunState.RESTARTING}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(state=tmp_path / "state", runtime=tmp_path / "runtime")
    made.routes.mkdir(parents=True)
    return made


def board_of(paths: Paths) -> RouteFiles:
    return RouteFiles(paths, uid_of={"alice": 1001}.get)


def test_the_gateway_learns_whose_it_is_and_how_to_know_the_token(paths: Paths) -> None:
    board_of(paths).publish(notebook(token="secret", unsecure_http=True), run(RunState.RUNNING))
    assert routes.find_route(paths.routes, NOTEBOOK_ID) == routes.Route(
        notebook=NOTEBOOK_ID,
        name="jupyterlab-amber",
        owner="alice",
        owner_uid=1001,
        state="RUNNING",
        unsecure_http=True,
        token_hash=hashlib.sha256(b"secret").hexdigest(),
        session_key=hashlib.sha256(b"secret").hexdigest(),
    )
    assert "secret" not in (paths.routes / f"{NOTEBOOK_ID}.json").read_text()


@pytest.mark.parametrize("state", RunState)
def test_a_token_opens_only_what_is_up_or_coming_up(paths: Paths, state: RunState) -> None:
    board_of(paths).publish(notebook(), run(state))
    route = routes.find_route(paths.routes, NOTEBOOK_ID)
    assert route is not None
    assert (route.token_hash is not None) is (state in OPEN)
    assert bool(route.reason) is (not run(state).active)


def test_a_notebook_being_deleted_lets_nobody_in(paths: Paths) -> None:
    board_of(paths).publish(notebook(deleting_at=NOW), run(RunState.RUNNING))
    route = routes.find_route(paths.routes, NOTEBOOK_ID)
    assert route is not None
    assert (route.state, route.token_hash) == ("DELETING", None)


def test_only_what_changed_is_written(paths: Paths) -> None:
    board = board_of(paths)
    board.publish(notebook(), run(RunState.RUNNING))
    file = routes.route_file(paths.routes, NOTEBOOK_ID)
    first = file.stat().st_ino
    board.publish(notebook(version=7), run(RunState.RUNNING, container_pid=9))
    assert file.stat().st_ino == first
    board.publish(replace(notebook(), token="another"), run(RunState.RUNNING))
    assert file.stat().st_ino != first


def test_a_route_is_withdrawn_and_can_come_again(paths: Paths) -> None:
    board = board_of(paths)
    board.publish(notebook(), run(RunState.RUNNING))
    board.withdraw(NOTEBOOK_ID)
    board.withdraw(NOTEBOOK_ID)
    assert routes.find_route(paths.routes, NOTEBOOK_ID) is None
    board.publish(notebook(), run(RunState.RUNNING))
    assert routes.find_route(paths.routes, NOTEBOOK_ID) is not None


def test_what_could_not_be_written_is_logged_and_tried_again(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    board = board_of(paths)
    shutil.rmtree(paths.routes)
    board.publish(notebook(), run(RunState.RUNNING))
    assert not board.publish(notebook(), run(RunState.RUNNING))
    assert caplog.text.count("cannot publish the route") == 1
    paths.routes.mkdir()
    assert board.publish(notebook(), run(RunState.RUNNING))
    board.publish(notebook(), run(RunState.RUNNING))
    assert routes.find_route(paths.routes, NOTEBOOK_ID) is not None


def test_a_route_of_an_earlier_life_is_written_only_if_it_says_something_else(paths: Paths) -> None:
    board_of(paths).publish(notebook(), run(RunState.RUNNING))
    file = routes.route_file(paths.routes, NOTEBOOK_ID)
    before = file.stat().st_ino
    later = board_of(paths)
    assert later.list_published() == [NOTEBOOK_ID]
    later.publish(notebook(), run(RunState.RUNNING))
    assert file.stat().st_ino == before
    board_of(paths).publish(replace(notebook(), token="another"), run(RunState.RUNNING))
    assert file.stat().st_ino != before


def test_a_route_follows_the_uid_on_record(paths: Paths) -> None:
    """A name may be given to another account, and what is made under it then is not open to the one before."""
    answers: list[int | None] = [None, 1001, 1002]
    board = RouteFiles(paths, uid_of=lambda _: answers.pop(0))
    for uid in (None, 1001, 1002):
        board.publish(notebook(), run(RunState.RUNNING))
        route = routes.find_route(paths.routes, NOTEBOOK_ID)
        assert route is not None
        assert route.owner_uid == uid


def session_key(paths: Paths, uid: int, **changes: Any) -> str | None:
    RouteFiles(paths, uid_of=lambda _: uid).publish(notebook(**changes), run(RunState.RUNNING))
    route = routes.find_route(paths.routes, NOTEBOOK_ID)
    assert route is not None
    return route.session_key


def test_the_session_key_is_the_owners_and_the_secrets_and_not_the_tokens(paths: Paths) -> None:
    kept = session_key(paths, 1001, token="first", session_secret="s")
    assert kept == session_key(paths, 1001, token="second", session_secret="s")
    others = (
        session_key(paths, 1001, session_secret="renewed"),
        session_key(paths, 1002, session_secret="s"),
        session_key(paths, 1001, session_secret="s", owner="bob"),
        session_key(paths, 1001, session_secret="s", deleting_at=NOW),
    )
    assert kept not in others
    assert others[-1] is None


def test_a_route_that_cannot_be_written_is_taken_away(paths: Paths) -> None:
    """On a full disk a file can be made and nothing written to it. The old token must not stay good."""
    board = board_of(paths)
    board.publish(notebook(token="old"), run(RunState.RUNNING))
    new = replace(notebook(), token="new")
    with no_room():
        assert not board.publish(new, run(RunState.RUNNING))
    assert routes.find_route(paths.routes, NOTEBOOK_ID) is None
    assert list(paths.routes.iterdir()) == []
    assert board.publish(new, run(RunState.RUNNING))
    route = routes.find_route(paths.routes, NOTEBOOK_ID)
    assert route is not None
    assert route.token_hash == hashlib.sha256(b"new").hexdigest()


def test_a_route_that_cannot_be_removed_is_told(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    board = board_of(paths)
    board.publish(notebook(), run(RunState.RUNNING))
    file = routes.route_file(paths.routes, NOTEBOOK_ID)
    file.unlink()
    file.mkdir()
    assert not board.withdraw(NOTEBOOK_ID)
    assert not board.withdraw(NOTEBOOK_ID)
    assert caplog.text.count("cannot withdraw") == 1
    file.rmdir()
    assert board.withdraw(NOTEBOOK_ID)


@contextmanager
def no_room() -> Iterator[None]:
    """Every write of a byte to a file fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
