# SPDX-License-Identifier: Apache-2.0
"""``notebookctl list`` on terminals of several widths, for programs, and what it asks for."""

import json

import pytest

from tests.cli.fake_terminal import FakeTerminal
from tests.cli.worlds import A, B, me, notebook, page

LIST = "GET /v1/notebook"


@pytest.fixture(autouse=True)
def world(toy):
    toy.on("GET /v1/me", me())
    toy.on(LIST, page(notebook(), notebook(B, "brave", "STOPPED", gpu=0)))


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_the_list_fits_the_terminal(notebookctl, golden, width):
    notebookctl.terminal = FakeTerminal(width=width)
    shown = notebookctl("list", "--all").stdout
    assert max(map(len, shown.splitlines())) <= width
    golden(f"list-{width}.txt", shown)


def test_a_long_name_is_cut_before_a_column_goes(notebookctl, toy):
    toy.on(LIST, page(notebook(name="n" * 63), notebook(B, "brave")))
    notebookctl.terminal = FakeTerminal(width=80)
    head, line, _ = notebookctl("list").stdout.splitlines()
    assert len(line) <= 80
    assert [word in head for word in ("ID", "STATE", "DEADLINE")] == [True] * 3
    assert "n" * 11 + "…" in line
    assert A[:8] in line  # by which it is named where its name is not seen
    notebookctl.terminal = FakeTerminal(width=None)
    assert "n" * 63 in notebookctl("list").stdout
    notebookctl.terminal = FakeTerminal(width=80)
    assert "n" * 63 in notebookctl("list", "--columns", "NAME").stdout


def test_short_ids_tell_the_notebooks_apart_and_name_them(notebookctl, toy):
    twin = A[:-1] + "9"
    toy.on(LIST, page(notebook(), notebook(twin, "brave")))
    notebookctl.terminal = FakeTerminal(width=80)
    ids = [line.split()[0] for line in notebookctl("list", "--columns", "id,name").stdout.splitlines()[1:]]
    assert ids == [A, twin]
    toy.on(LIST, page(notebook(), notebook(B, "brave")))
    ids = [line.split()[0] for line in notebookctl("list", "--columns", "id,name").stdout.splitlines()[1:]]
    assert ids == [A[:8], B[:8]]


def test_columns_are_those_that_are_asked_for_in_their_order(notebookctl):
    shown = notebookctl("list", "--columns", "labels, name,flavor,cpus").stdout
    assert shown.splitlines() == [
        "LABELS       NAME   FLAVOR      CPUS",
        "team=vision  calm   h100-1-gpu  0",
        "team=vision  brave  -           2",
    ]
    assert notebookctl("list", "--columns", "NAME", "-o", "csv").stdout == "NAME\ncalm\nbrave\n"
    refused = notebookctl("list", "--columns", "NAME,COLOR")
    assert refused.exit_code == 2
    assert "there is no column COLOR; there are ID, OWNER, NAME" in refused.stderr


def test_quiet_writes_whole_ids_alone(notebookctl, toy):
    notebookctl.terminal = FakeTerminal(width=80)
    assert notebookctl("list", "-q").stdout == f"{A}\n{B}\n"
    assert notebookctl("list", "-q", "-o", "json").exit_code == 2
    toy.on(LIST, page())
    assert (notebookctl("list", "-q").stdout, notebookctl("list", "-q").stderr) == ("", "")


def test_csv_holds_what_programs_count_with(notebookctl):
    (head, row, _) = notebookctl("list", "-o", "csv").stdout.splitlines()
    cells = dict(zip(head.split(","), row.split(","), strict=True))
    assert (cells["ID"], cells["AGE"], cells["DEADLINE"]) == (A, "10800", "2026-11-29T19:30:00.000Z")


def test_what_is_asked_for_is_asked_of_the_daemon(notebookctl, toy):
    notebookctl("list", "--owner", "bob", "--label", "a=b", "--label", "c=d", "--sort", "age", "--limit", "3")
    query = toy.sent(LIST)[-1].query
    assert query == {
        "page": ["1"],
        "size": ["3"],
        "userName": ["bob"],
        "labelSelector": ["a=b", "c=d"],
        "sort": ["createdAt"],
        "order": ["desc"],
    }
    assert notebookctl("list", "--label", "a").exit_code == 2


def test_a_limit_shows_no_more_and_says_how_many_there_are(notebookctl, toy):
    body = json.loads(page(notebook(), pages=2))
    body["metadata"]["total"] = 2
    toy.on(LIST, body)
    result = notebookctl("list", "--limit", "1")
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr == "note: these are 1 of 2\n"
    assert len(toy.sent(LIST)) == 1


def test_an_empty_list_says_what_to_do(notebookctl, toy):
    toy.on(LIST, page())
    assert "`notebookctl run conda jupyterlab` starts one" in notebookctl("list").stderr
    assert "no notebook is like that" in notebookctl("list", "--states", "RUNNING").stderr
    assert notebookctl("list", "-o", "json").stderr == ""
    assert notebookctl("list", "-o", "csv").stderr == ""


@pytest.mark.parametrize(
    ("words", "meant"),
    [(["stpo", "mine"], "stop"), (["lsit"], "list"), (["config", "shwo"], "show"), (["snapshot", "frok"], "fork")],
)
def test_a_verb_that_is_misspelt_is_told(notebookctl, words, meant):
    result = notebookctl(*words)
    assert result.exit_code == 2
    assert f"did you mean {meant!r}?" in result.stderr


def test_a_word_that_is_near_no_verb_is_no_verb(notebookctl):
    assert "No such command 'zzzzzz'" in notebookctl("zzzzzz").stderr


def test_columns_and_orders_are_completed(notebookctl):
    def completed(words, count):
        env = {"_NOTEBOOKCTL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(count)}
        return [line.partition(",")[2] for line in notebookctl(env=env).stdout.splitlines()]

    assert completed("notebookctl list --columns NAME,st", 3) == ["NAME,STATE"]
    assert completed("notebookctl list --sort ", 3) == ["age", "name", "state", "updated"]
