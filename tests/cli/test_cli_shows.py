# SPDX-License-Identifier: Apache-2.0
"""What the verbs that show things print, in every form, and how notebooks are named."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.cli import worlds
from tests.cli.fake_terminal import FakeTerminal
from tests.cli.worlds import A, B, C, me, notebook, page

SHOWS = {
    "list": (["list"], "GET /v1/notebook", page(notebook(), notebook(B, "brave", "STOPPED", gpu=0))),
    "get": (["get", A], f"GET /v1/notebook/{A}", notebook(info="it is fine")),
    "why": (["why", A], f"GET /v1/notebook/{A}/why", worlds.WHY),
    "url": (["url", A], f"GET /v1/notebook/{A}/access", worlds.access()),
    "me": (["me"], "GET /v1/me", me()),
    "gpu": (["gpu", "list"], "GET /v1/gpu", worlds.GPUS),
    "queue": (["queue"], "GET /v1/queue", worlds.QUEUE),
    "flavor": (["capabilities", "flavor", "list"], "GET /v1/capabilities/flavor", worlds.FLAVORS),
    "framework": (["capabilities", "framework"], "GET /v1/capabilities/notebook/framework", worlds.FRAMEWORKS),
    "editor": (["capabilities", "editor", "list"], "GET /v1/capabilities/notebook/editor", worlds.EDITORS),
    "quota": (["capabilities", "quota"], "GET /v1/capabilities/quota", worlds.QUOTAS),
    "logs": (["logs", A], f"GET /v1/notebook/{A}/log", json.dumps(worlds.LOG).encode()),
}


@pytest.fixture(params=SHOWS)
def show(request, toy):
    args, route, body = SHOWS[request.param]
    toy.on("GET /v1/me", me())
    toy.on(route, body)
    return request.param, args, body


def test_tables_are_golden(notebookctl, golden, show):
    name, args, _ = show
    result = notebookctl(*args)
    assert (result.exit_code, result.stderr) == (0, "")
    golden(f"{name}.txt", result.stdout)


def test_csv_is_golden(notebookctl, golden, show):
    name, args, _ = show
    golden(f"{name}.csv", notebookctl(*args, "-o", "csv").stdout)


def test_json_is_exactly_the_answer(notebookctl, show):
    _, args, body = show
    result = notebookctl(*args, "--output", "json")
    assert (result.stdout_bytes, result.stderr) == (body + b"\n", "")


def test_yaml_holds_the_same(notebookctl, show):
    _, args, body = show
    assert yaml.safe_load(notebookctl(*args, "-o", "yaml").stdout) == json.loads(body)


@pytest.mark.parametrize("follow", [[], ["-f"]])
def test_events_come_line_by_line(notebookctl, toy, golden, follow):
    toy.on("GET /v1/event", worlds.EVENTS)
    result = notebookctl("events", *follow, "--after", "7", "--notebook", A)
    golden("events.txt", result.stdout)
    golden("events.csv", notebookctl("events", *follow, "-o", "csv").stdout)
    assert [json.loads(line) for line in notebookctl("events", "-o", "json").stdout.splitlines()] == worlds.EVENTS
    assert list(yaml.safe_load_all(notebookctl("events", "-o", "yaml").stdout)) == worlds.EVENTS
    assert toy.asked[0].query == {"after": ["7"], "notebook": [A], **({"follow": ["true"]} if follow else {})}


def test_events_name_the_notebook_the_gpu_and_the_command(notebookctl, toy):
    gpu = "GPU-3f2a0000-1111-0000-0000-000000000000"
    stranger = {"pid": 7, "user": "carol", "command": "python3", "memory": 2**30}
    happened = {"at": "2026-11-22T17:00:01.000Z", "actor": "notebookd"}
    toy.on("GET /v1/notebook", page(notebook(A, "calm"), notebook(B, "brave")))
    toy.on(
        "GET /v1/event",
        [
            happened | {"id": 1, "type": "notebook.command", "notebook": A, "details": {"program": "python3"}},
            happened | {"id": 2, "type": "gpu.foreign", "details": {"gpu": gpu, "processes": [stranger]}},
            happened
            | {"id": 3, "type": "gpu.xid", "notebook": B, "details": {"gpu": gpu, "xid": 31, "message": "Xid"}},
            happened | {"id": 4, "type": "notebook.created", "notebook": C},
        ],
    )
    assert [line.split(None, 5)[5] for line in notebookctl("events").stdout.splitlines()[1:]] == [
        "calm              program python3",
        "-                 GPU 3f2a0000-111; carol's python3 (pid 7)",
        "brave             GPU 3f2a0000-111; Xid; xid 31",
        "0ccccccc          -",
    ]
    assert len(toy.sent("GET /v1/notebook")) == 2, "once for all, and once for one that is gone"
    table = notebookctl("events", "-o", "csv").stdout.splitlines()
    assert table[3].endswith(f",brave,{gpu},Xid; xid 31")


def test_events_are_asked_for_by_time_type_and_number(notebookctl, toy):
    toy.on("GET /v1/event", [])
    assert (
        notebookctl(
            "events", "--last", "2h", "--type", "gpu,notebook.created", "--type", "run", "--limit", "5"
        ).exit_code
        == 0
    )
    assert notebookctl("events", "--since", "2026-11-22T17:00:00Z").exit_code == 0
    assert notebookctl("events", "--since", "2h", "--last", "2h").exit_code == 2
    asked, later = toy.sent("GET /v1/event")
    assert asked.query == {
        "since": ["2026-11-22T18:00:00.000Z"],
        "type": ["gpu", "notebook.created", "run"],
        "limit": ["5"],
    }
    assert later.query == {"since": ["2026-11-22T17:00:00.000Z"]}


def test_followed_logs_come_line_by_line(notebookctl, toy):
    toy.on(f"GET /v1/notebook/{A}/log", worlds.LOG["logs"])
    result = notebookctl("logs", A, "-f", "-t", "--since", "10m", "--tail", "5")
    assert result.stdout == "2026-11-22T17:00:01.000Z hello\n2026-11-22T17:00:02.000Z world\n"
    assert toy.asked[0].query == {"since": ["2026-11-22T19:50:00.000Z"], "tail": ["5"], "follow": ["true"]}


def test_an_empty_log_is_no_line(notebookctl, toy):
    toy.on(f"GET /v1/notebook/{A}/log", {"logs": []})
    assert notebookctl("logs", A).stdout == ""


def test_ls_filters_by_state_and_shows_an_admin_his_own(notebookctl, toy):
    toy.on("GET /v1/me", me("root", "administrator"))
    toy.on("GET /v1/notebook", page())
    assert notebookctl("ls", "--states", "running,FAILED").exit_code == 0
    assert notebookctl("ls", "--all").exit_code == 0
    own, everybody = toy.sent("GET /v1/notebook")
    assert own.query["statusState"] == ["RUNNING", "FAILED"]
    assert own.query["userName"] == ["root"]
    assert "userName" not in everybody.query


def test_watching_is_left_with_an_interrupt(notebookctl, toy):
    class Left(FakeTerminal):
        naps = 0

        def sleep(self, seconds):
            self.naps += 1
            if self.naps == 2:
                raise KeyboardInterrupt

    notebookctl.terminal = Left()
    toy.on("GET /v1/gpu", worlds.GPUS)
    result = notebookctl("gpu", "--watch")
    assert (result.exit_code, result.stdout.count("INDEX"), result.stderr) == (130, 2, "")


def test_a_list_of_many_pages_is_one_list(notebookctl, toy):
    toy.on("GET /v1/me", me())
    toy.then("GET /v1/notebook", page(notebook(), pages=2))
    toy.then("GET /v1/notebook", page(notebook(B, "brave"), number=2, pages=2))
    listed = json.loads(notebookctl("ls", "-o", "json").stdout)
    assert [each["id"] for each in listed["items"]] == [A, B]
    assert [asked.query["page"] for asked in toy.sent("GET /v1/notebook")] == [["1"], ["2"]]


def test_one_of_a_kind_can_be_got(notebookctl, toy):
    toy.on("GET /v1/capabilities/flavor/cpu", json.dumps(json.loads(worlds.FLAVORS)[1]).encode())
    assert notebookctl("capabilities", "flavor", "get", "cpu").stdout.splitlines()[1].startswith("cpu ")


def test_capabilities_filter(notebookctl, toy):
    toy.on("GET /v1/capabilities/notebook/editor", worlds.EDITORS)
    notebookctl("capabilities", "editor", "list", "--compatible-with", "conda")
    assert toy.asked[0].query == {"compatibleWithFramework": ["conda"]}


@pytest.mark.parametrize(("kind", "other"), [("editor", "framework"), ("framework", "editor")])
def test_what_goes_with_something_that_is_not_there_is_an_error_that_lists_what_is(notebookctl, toy, kind, other):
    toy.on(f"GET /v1/capabilities/notebook/{kind}", b"[]")
    known = [{"id": each, "name": each, "description": "", "versions": []} for each in ("one", "two")]
    toy.on(f"GET /v1/capabilities/notebook/{other}", json.dumps(known).encode())
    result = notebookctl("capabilities", kind, "list", "--compatible-with", "onne")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        f"notebookctl: cannot list what goes with {other} 'onne': there is none",
        "hint: there are: one, two",
    ]
    assert notebookctl("capabilities", kind, "list", "--compatible-with", "two").exit_code == 0


def test_capabilities_without_a_kind_are_what_a_notebook_is_made_of(notebookctl, toy):
    for name in ("flavor", "framework", "editor"):
        _, route, body = SHOWS[name]
        toy.on(route, body)
    shown = notebookctl("capabilities").stdout
    assert shown == "\n".join(notebookctl("capabilities", kind).stdout for kind in ("flavor", "framework", "editor"))
    assert notebookctl("capabilities", "-o", "json").exit_code == 2


class TestNaming:
    """A notebook is named by id, unique prefix, or own unique name."""

    @pytest.fixture(autouse=True)
    def world(self, toy):
        toy.on("GET /v1/me", me())
        toy.on(
            "GET /v1/notebook",
            page(notebook(), notebook(B, "brave"), notebook(C, "calm", user="bob")),
        )
        for identity in (A, B, C):
            toy.on(f"GET /v1/notebook/{identity}/access", worlds.access(identity))

    @pytest.mark.parametrize(
        ("word", "meant"), [(A, A), (A.upper(), A), ("brave", B), ("calm", A), ("0c", C), ("0ab", B)]
    )
    def test_a_word_means_one(self, notebookctl, word, meant):
        assert meant in notebookctl("url", word).stdout

    def test_an_id_asks_for_no_list(self, notebookctl, toy):
        notebookctl("url", A)
        assert toy.sent("GET /v1/notebook") == []

    def test_an_ambiguous_prefix_is_a_usage_error_that_names_them(self, notebookctl):
        result = notebookctl("url", "0a")
        assert result.exit_code == 2
        assert A in result.stderr
        assert B in result.stderr

    @pytest.mark.parametrize("word", ["nothing", ""])
    def test_an_unknown_word_is_not_found(self, notebookctl, word):
        result = notebookctl("url", word)
        assert result.exit_code == 1
        assert "not-found" in result.stderr
        assert "hint: notebookctl list" in result.stderr


@pytest.mark.parametrize("state", ["STOPPED", "FAILED", "SYNC_FAILED", "STOPPING"])
@pytest.mark.parametrize("verb", ["url", "open"])
def test_the_url_of_what_does_not_run_comes_with_a_note(notebookctl, toy, monkeypatch, verb, state):
    monkeypatch.setattr("webbrowser.open", lambda url: False)
    toy.on(f"GET /v1/notebook/{A}/access", worlds.access())
    toy.on(f"GET /v1/notebook/{A}", notebook(state=state))
    result = notebookctl(verb, A)
    assert (result.exit_code, result.stdout) == (0, f"http://{A}.localhost:8421/?token=secret\n")
    assert f"note: calm is {state}: nobody answers there" in result.stderr


@pytest.mark.parametrize("state", ["RUNNING", "STARTING", "RESTARTING"])
def test_the_url_of_what_runs_or_will_comes_alone(notebookctl, toy, state):
    toy.on(f"GET /v1/notebook/{A}/access", worlds.access())
    toy.on(f"GET /v1/notebook/{A}", notebook(state=state))
    assert notebookctl("url", A).stderr == ""
