# SPDX-License-Identifier: Apache-2.0
"""Times for people are in their zone, those for programs as the daemon has them."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from notebookd.cli.output import localised, moment
from tests.cli import worlds
from tests.cli.fake_terminal import FakeTerminal
from tests.cli.worlds import A, me, notebook, page

BERLIN = ZoneInfo("Europe/Berlin")


class InBerlin(FakeTerminal):
    def zone(self):
        return BERLIN


@pytest.fixture(autouse=True)
def world(toy, notebookctl):
    notebookctl.terminal = InBerlin()
    toy.on("GET /v1/me", me())
    toy.on("GET /v1/notebook", page(notebook()))
    toy.on(f"GET /v1/notebook/{A}", notebook())
    toy.on(f"GET /v1/notebook/{A}/why", worlds.WHY)
    toy.on("GET /v1/event", [{**worlds.EVENTS[0], "details": {"until": "2026-11-29T19:30:00.000Z"}}])


def test_a_time_is_in_its_zone_summer_and_winter():
    assert moment("2026-11-29T19:30:00.000Z", BERLIN) == "Sun 2026-11-29 20:30 CET"
    assert moment("2026-07-29T19:30:05.000Z", BERLIN, exact=True) == "Wed 2026-07-29 21:30:05 CEST"
    assert moment("when\x1bever", BERLIN) == "when?ever"


def test_times_in_sentences_are_too():
    said = "until 2026-11-29T19:30:00.000Z, or 2026-12-20 19:30:00 UTC at the latest; x2026-11-29T19:30:00Z 2026-11-29"
    assert localised(said, BERLIN) == (
        "until Sun 2026-11-29 20:30 CET, or Sun 2026-12-20 20:30 CET at the latest; x2026-11-29T19:30:00Z 2026-11-29"
    )


def test_people_read_them_in_their_zone(notebookctl):
    assert "Deadline:  Sun 2026-11-29 20:30 CET (in 6d23h)" in notebookctl("get", A).stdout
    assert "timeout in 6 d 23 h (Sun 2026-11-29 20:30 CET)" in notebookctl("why", A).stdout
    assert "2026-11-22 18:00:01" in notebookctl("events").stdout
    assert "until Sun 2026-11-29 20:30 CET" in notebookctl("events").stdout


def test_programs_read_what_the_daemon_says(notebookctl):
    assert "2026-11-29T19:30:00.000Z" in notebookctl("get", A, "-o", "csv").stdout
    assert "2026-11-29T19:30:00.000Z" in notebookctl("why", A, "-o", "csv").stdout
    assert "2026-11-22T17:00:01.000Z" in notebookctl("events", "-o", "csv").stdout


def test_they_write_them_in_their_zone(notebookctl, toy):
    toy.on(f"PUT /v1/notebook/{A}/extend", {"timeoutAt": "2026-11-27T17:00:00.000Z"})
    done = notebookctl("extend", A, "--until", "fri 18:00")
    assert done.stderr == f"{A} runs until Fri 2026-11-27 18:00 CET, in 4 d 21 h\n"
    assert toy.asked[-1].json == {"until": "2026-11-27T17:00:00.000Z"}
    notebookctl("events", "--since", "18:00")
    assert toy.sent("GET /v1/event")[-1].query["since"] == ["2026-11-22T17:00:00.000Z"]
    toy.on(f"GET /v1/notebook/{A}/log", worlds.LOG)
    notebookctl("logs", A, "--since", "yesterday")
    assert toy.asked[-1].query["since"] == ["2026-11-20T23:00:00.000Z"]


def test_a_refusal_names_times_in_their_zone(notebookctl, toy):
    body = {
        "message": "cannot: until 2026-12-20 19:30:00 UTC",
        "code": "invalid-request",
        "hint": "2026-12-20T19:30:00Z",
    }
    toy.on(f"GET /v1/notebook/{A}", body, status=400)
    said = notebookctl("get", A).stderr
    assert said == (
        "notebookctl: cannot: until Sun 2026-12-20 20:30 CET (invalid-request)\nhint: Sun 2026-12-20 20:30 CET\n"
    )


@pytest.mark.parametrize(
    "words",
    [["extend", A, "--until", "soon"], ["extend", A, "2x"], ["logs", A, "--since", "25:00"], ["events", "--last", ""]],
)
def test_what_is_no_time_is_a_usage_error(notebookctl, toy, words):
    done = notebookctl(*words)
    assert done.exit_code == 2
    assert "is not a" in done.stderr or "is no time" in done.stderr
    assert toy.asked == []


def test_two_words_want_quotes(notebookctl):
    assert '--until "fri 18:00"' in notebookctl("extend", A, "--until", "fri", "18:00").stderr
