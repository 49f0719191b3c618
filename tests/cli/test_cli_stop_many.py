# SPDX-License-Identifier: Apache-2.0
"""``stop --all`` and ``stop --owner``: many at once, and not by mistake."""

from __future__ import annotations

import pytest

from tests.cli.fake_terminal import FakeTerminal
from tests.cli.worlds import A, B, me, notebook, page


@pytest.fixture(autouse=True)
def world(toy):
    toy.on("GET /v1/me", me("root", "administrator"))
    toy.on("GET /v1/notebook", page(notebook(A, "calm"), notebook(B, "brave", user="bob")))
    for each in (A, B):
        toy.on(f"PUT /v1/notebook/{each}/stop", status=204)
        toy.on(f"GET /v1/notebook/{each}", notebook(each, state="STOPPED"))


def stopped(toy):
    return [asked.path.split("/")[3] for asked in toy.asked if asked.method == "PUT"]


def test_it_asks_and_says_whose(notebookctl, toy):
    notebookctl.terminal = FakeTerminal(answers=True)
    done = notebookctl("stop", "--all", keys="n\n")
    assert "Stop 2 notebooks of 2 owners: alice/calm, bob/brave?" in done.stderr
    assert (done.exit_code, stopped(toy)) == (1, [])
    done = notebookctl("stop", "--all", keys="y\n")
    assert (done.exit_code, stopped(toy)) == (0, [A, B])
    assert done.stderr.endswith("stopping alice/calm\nstopping bob/brave\n")


def test_without_a_terminal_it_takes_yes(notebookctl, toy):
    done = notebookctl("stop", "--all")
    assert (done.exit_code, stopped(toy)) == (2, [])
    assert "alice/calm, bob/brave; without a terminal to ask on, stopping them takes --yes" in done.stderr
    assert notebookctl("stop", "--all", "--yes").exit_code == 0
    assert stopped(toy) == [A, B]


def test_only_what_runs_is_asked_for(notebookctl, toy):
    notebookctl("stop", "--owner", "bob", "--yes")
    assert toy.sent("GET /v1/notebook")[-1].query["userName"] == ["bob"]
    assert toy.sent("GET /v1/notebook")[-1].query["statusState"] == ["STARTING", "RUNNING", "RESTARTING"]
    notebookctl("stop", "--all", "--yes", "--now")
    assert "STOPPING" in toy.sent("GET /v1/notebook")[-1].query["statusState"]
    assert toy.asked[-1].query == {"now": ["true"]}


def test_nothing_to_stop_is_said(notebookctl, toy):
    toy.on("GET /v1/notebook", page())
    done = notebookctl("stop", "--all")
    assert (done.exit_code, done.stderr) == (0, "nothing runs that could be stopped\n")


def test_one_that_cannot_be_stopped_keeps_no_other_from_it(notebookctl, toy):
    toy.on(f"PUT /v1/notebook/{A}/stop", {"message": "cannot stop calm: no", "code": "conflict"}, status=409)
    done = notebookctl("stop", "--all", "--yes", "--wait")
    assert (done.exit_code, stopped(toy)) == (1, [A, B])
    assert "alice/calm: cannot stop calm: no\nstopping bob/brave\n" in done.stderr
    assert done.stderr.endswith("notebookctl: 1 of 2 notebooks could not be stopped\n")


def test_one_that_is_deleted_meanwhile_is_no_failure(notebookctl, toy):
    toy.on(f"PUT /v1/notebook/{A}/stop", {"message": "cannot: gone", "code": "not-found"}, status=404)
    assert notebookctl("stop", "--all", "--yes").exit_code == 0


def test_all_are_waited_for(notebookctl, toy):
    toy.on(f"GET /v1/notebook/{A}", notebook(A, "calm", state="SYNC_FAILED"))
    done = notebookctl("stop", "--all", "--yes", "--wait")
    assert done.exit_code == 1
    assert "notebook calm is SYNC_FAILED" in done.stderr
    assert "stopped after" in done.stderr


def test_the_question_is_short_and_steers_no_terminal(notebookctl, toy):
    notebookctl.terminal = FakeTerminal(answers=True)
    many = [notebook(f"{number:08x}-0000-4000-8000-000000000000", f"n{number}\x1b[2J") for number in range(14)]
    toy.on("GET /v1/notebook", page(*many))
    said = notebookctl("stop", "--all", keys="n\n").stderr
    assert "n9?[2J and 4 more?" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    "words", [[], ["--all", "--owner", "x"], ["calm", "--all"], ["calm", "--owner", "x"], ["--all", "-o", "json"]]
)
def test_one_of_the_three_is_said(notebookctl, toy, words):
    assert notebookctl("stop", *words).exit_code == 2
    assert toy.asked == []
