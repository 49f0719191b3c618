# SPDX-License-Identifier: Apache-2.0
"""``notebookctl extend``: what it sends, what it prints, how it ends."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
import yaml

from tests.cli.worlds import A, me, notebook, page

EXTEND = f"PUT /v1/notebook/{A}/extend"
BEFORE, AFTER = "2026-11-29T19:30:00.000Z", "2026-12-01T19:30:00.000Z"
EXTENDED = notebook().replace(BEFORE.encode(), AFTER.encode())
NOT_RUNNING = {
    "message": f"cannot extend notebook {A}: it is STOPPED",
    "code": "conflict",
    "hint": "only a running notebook has a deadline to extend",
}
TOO_LONG = {
    "message": f"cannot extend notebook {A}: $.duration: it may run until 2026-12-20 19:30:00 UTC at the latest",
    "code": "invalid-request",
    "details": {
        "faults": [{"path": "$.duration", "message": "it may run until 2026-12-20 19:30:00 UTC at the latest"}]
    },
}


@pytest.fixture(autouse=True)
def world(toy):
    toy.on("GET /v1/me", me())
    toy.on("GET /v1/notebook", page(EXTENDED))
    toy.on(f"GET /v1/notebook/{A}", EXTENDED)
    toy.on(EXTEND, {"timeoutAt": AFTER})


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["2d"], {"duration": "2d"}),
        (["1h30m"], {"duration": "1h30m"}),
        (["--until", AFTER], {"until": AFTER}),
        (["--until=2026-12-01T20:30:00+01:00"], {"until": AFTER}),
        (["--until", "2026-12-01 19:30"], {"until": AFTER}),
        (["--until", "tue"], {"until": "2026-11-25T00:00:00.000Z"}),
        (["--until", "tomorrow 9am"], {"until": "2026-11-23T09:00:00.000Z"}),
        (["--until", "21:00"], {"until": "2026-11-22T21:00:00.000Z"}),
        (["--until", "2d"], {"until": "2026-11-24T20:00:00.000Z"}),
    ],
)
def test_what_is_asked_for_is_sent(notebookctl, toy, words, body):
    result = notebookctl("extend", A, *words)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"{A} runs until Tue 2026-12-01 19:30 UTC, in 8 d 23 h\n"
    assert [asked.json for asked in toy.sent(EXTEND)] == [body]


def test_a_notebook_is_named_as_everywhere(notebookctl, toy):
    for name in ("calm", A[:6], A):
        assert notebookctl("extend", name, "2d").exit_code == 0
    assert len(toy.sent(EXTEND)) == 3
    assert notebookctl("extend", "nobody", "2d").exit_code == 1
    assert len(toy.sent(EXTEND)) == 3


def test_programs_get_the_notebook_with_its_new_deadline(notebookctl):
    result = notebookctl("extend", A, "2d", "-o", "json")
    assert result.stdout_bytes == EXTENDED + b"\n"
    assert json.loads(result.stdout)["status"]["lastJobStatus"]["timeoutAt"] == AFTER
    assert yaml.safe_load(notebookctl("extend", A, "2d", "-o", "yaml").stdout) == json.loads(EXTENDED)
    header, row = notebookctl("extend", A, "2d", "-o", "csv").stdout.splitlines()
    assert (header.startswith("ID,NAME,STATE"), row.startswith(f"{A},calm,RUNNING")) == (True, True)


def test_list_and_get_show_the_new_deadline(notebookctl):
    left = datetime.fromisoformat(AFTER) - notebookctl.terminal.now()
    assert left == timedelta(days=8, hours=23, minutes=30)
    header, row = notebookctl("list").stdout.splitlines()
    assert row[header.index("DEADLINE") :].split()[0] == "8d23h"
    assert "Tue 2026-12-01 19:30 UTC (in 8d23h)" in notebookctl("get", A).stdout


@pytest.mark.parametrize("words", [[], ["2d", "--until", AFTER], ["2d", "3d"], ["--until"], ["2d", "--for", "ever"]])
def test_a_wrong_call_is_a_usage_error_and_asks_nothing(notebookctl, toy, words):
    result = notebookctl("extend", A, *words)
    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert toy.asked == []


@pytest.mark.parametrize(("status", "refusal"), [(409, NOT_RUNNING), (400, TOO_LONG)])
def test_a_refusal_is_told_with_its_code_and_hint(notebookctl, toy, status, refusal):
    toy.on(EXTEND, refusal, status=status)
    result = notebookctl("extend", A, "2d")
    assert (result.exit_code, result.stdout) == (1, "")
    said = refusal["message"].replace("$.", "").replace("2026-12-20 19:30:00 UTC", "Sun 2026-12-20 19:30 UTC")
    for part in (said, refusal["code"], refusal.get("hint", "")):
        assert part in result.stderr


def test_as_a_program_its_status_says_how_it_ended(notebookctl, toy):
    assert notebookctl.program("extend", A, "2d").returncode == 0
    toy.on(EXTEND, NOT_RUNNING, status=409)
    assert notebookctl.program("extend", A, "2d").returncode == 1
    assert notebookctl.program("extend", A).returncode == 2
    toy.path += ".gone"
    assert notebookctl.program("extend", A, "2d").returncode == 3


def test_its_help_says_what_a_duration_is_and_what_stays(notebookctl):
    text = " ".join(notebookctl("extend", "--help").stdout.split())
    for part in ("[DURATION]", "--until WHEN", "2d", "added to its deadline as it stands", "not touched"):
        assert part in text
