# SPDX-License-Identifier: Apache-2.0
"""notebookctl gpu, queue and why: what they ask for, what they say, at any width."""

from __future__ import annotations

import csv
import json

import msgspec
import pytest

from notebookd import wire
from tests.cli import worlds
from tests.cli.fake_terminal import FakeTerminal
from tests.cli.worlds import HOSTILE, A, B, board, hostile_board, me

ONE = "GPU-00000001-0000-0000-0000-000000000000"


@pytest.fixture
def station(toy):
    toy.on("GET /v1/me", me())
    toy.on("GET /v1/gpu", worlds.STATION)
    for action in ("drain", "undrain", "clear"):
        toy.on(f"PUT /v1/gpu/{ONE}/{action}", status=204)
    toy.on("PUT /v1/gpu/release", status=204)
    toy.on("PUT /v1/gpu/acquire", status=204)
    return toy


def refused(message, code):
    return {"message": message, "code": code, "hint": "ask an admin"}


@pytest.mark.parametrize("action", ["drain", "undrain", "clear"])
@pytest.mark.parametrize("word", ["1", ONE, ONE.upper(), "gpu-00000001", "00000001", "GPU-00000001-"])
def test_a_gpu_is_named_by_index_or_the_start_of_its_uuid(notebookctl, station, action, word):
    result = notebookctl("gpu", action, word)
    assert (result.exit_code, result.output) == (0, "")
    assert len(station.sent(f"PUT /v1/gpu/{ONE}/{action}")) == 1


@pytest.mark.parametrize("action", ["drain", "undrain", "clear"])
def test_several_gpus_and_all_of_them_are_named_at_once(notebookctl, station, action):
    every = [each["uuid"] for each in json.loads(worlds.STATION)["items"]]
    for uuid in every:
        station.on(f"PUT /v1/gpu/{uuid}/{action}", status=204)
    assert notebookctl("gpu", action, "0", "2", every[0]).exit_code == 0
    sent = [asked.path for asked in station.asked if asked.method == "PUT"]
    assert sent == [f"/v1/gpu/{uuid}/{action}" for uuid in (every[0], every[2])]
    assert notebookctl("gpu", action, "all").exit_code == 0
    sent = [asked.path for asked in station.asked if asked.method == "PUT"]
    assert sent[2:] == [f"/v1/gpu/{uuid}/{action}" for uuid in every]


def test_one_word_that_is_wrong_leaves_all_as_they_are(notebookctl, station):
    assert notebookctl("gpu", "drain", "1", "77").exit_code == 1
    assert [asked for asked in station.asked if asked.method == "PUT"] == []


def test_why_a_gpu_is_drained_is_said_and_shown(notebookctl, station, toy):
    assert notebookctl("gpu", "drain", "1", "--reason", "new fans, back on friday").exit_code == 0
    (sent,) = station.sent(f"PUT /v1/gpu/{ONE}/drain")
    assert sent.query == {"reason": ["new fans, back on friday"]}
    drained = msgspec.structs.replace(worlds.gpu(1, "drained", drained=True), drain_reason="new fans\x1b[2J")
    toy.on("GET /v1/gpu", board(drained))
    assert notebookctl("gpu").stdout.splitlines()[-1] == "GPU 1: drained: new fans?[2J"


@pytest.mark.parametrize("action", ["release", "acquire"])
def test_the_driver_is_let_go_and_taken_back(notebookctl, station, action):
    assert notebookctl("gpu", action).exit_code == 0
    assert len(station.sent(f"PUT /v1/gpu/{action}")) == 1


def test_a_whole_uuid_asks_for_no_board(notebookctl, station):
    assert notebookctl("gpu", "clear", ONE).exit_code == 0
    assert station.sent("GET /v1/gpu") == []


def test_an_act_gives_programs_the_board_as_it_is_then(notebookctl, station):
    result = notebookctl("gpu", "drain", ONE, "-o", "json")
    assert result.stdout_bytes == worlds.STATION + b"\n"
    assert [asked.method for asked in station.asked] == ["PUT", "GET"]


@pytest.mark.parametrize("word", ["7", "nothing", ""])
def test_an_unknown_gpu_is_not_found(notebookctl, station, word):
    result = notebookctl("gpu", "drain", word)
    assert result.exit_code == 1
    assert "not-found" in result.stderr
    assert "hint: notebookctl gpu list" in result.stderr


def test_an_ambiguous_start_is_a_usage_error_that_names_them(notebookctl, station):
    result = notebookctl("gpu", "drain", "GPU-0000000")
    assert result.exit_code == 2
    assert ONE in result.stderr
    assert station.sent(f"PUT /v1/gpu/{ONE}/drain") == []


@pytest.mark.parametrize(
    "args",
    [
        ("drain",),
        ("clear",),
        ("list", "1"),
        ("release", "1"),
        ("drain", "1", "--watch"),
        ("burn", "1"),
        ("undrain", "1", "--reason", "x"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(notebookctl, station, args):
    assert notebookctl("gpu", *args).exit_code == 2
    assert station.asked == []


@pytest.mark.parametrize(
    ("status", "code"), [(403, "forbidden"), (404, "not-found"), (503, "gpus-unavailable"), (409, "conflict")]
)
def test_a_refusal_is_told_with_its_code_and_hint(notebookctl, station, status, code):
    station.on(f"PUT /v1/gpu/{ONE}/clear", refused("cannot clear GPU 1: no", code), status)
    station.on("PUT /v1/gpu/acquire", refused("cannot clear GPU 1: no", code), status)
    for args in (("clear", "1"), ("acquire",)):
        result = notebookctl("gpu", *args)
        assert result.exit_code == 1
        assert result.stderr == f"notebookctl: cannot clear GPU 1: no ({code})\nhint: ask an admin\n"


def test_without_a_daemon_is_exit_3(notebookctl, tmp_path):
    for args in (("list",), ("drain", "1"), ("release",)):
        assert notebookctl("gpu", *args, "--socket", str(tmp_path / "none")).exit_code == 3


@pytest.mark.parametrize("width", [200, 120, 80, 40])
def test_the_board_fits_the_terminal(notebookctl, station, golden, width):
    notebookctl.terminal = FakeTerminal(width=width)
    out = notebookctl("gpu").stdout
    golden(f"gpu-{width}.txt", out)
    assert max(len(line) for line in out.splitlines()) <= width


def test_a_short_uuid_names_its_gpu(notebookctl, station):
    notebookctl.terminal = FakeTerminal(width=135)
    row = next(line for line in notebookctl("gpu").stdout.splitlines() if line.startswith("1 "))
    assert notebookctl("gpu", "drain", row.split()[1]).exit_code == 0
    assert len(station.sent(f"PUT /v1/gpu/{ONE}/drain")) == 1


def test_the_board_says_that_it_cannot_see(notebookctl, toy):
    toy.on("GET /v1/gpu", board(worlds.gpu(0, "free"), trouble="the driver is not loaded"))
    out = notebookctl("gpu").stdout
    assert "the GPUs cannot be seen: the driver is not loaded; the rows tell what was seen last" in out
    assert "  free?  " in out
    assert "cannot be seen: the driver is not loaded" in notebookctl("gpu", "-o", "csv").stderr
    toy.on("GET /v1/gpu", board(trouble="the driver is not loaded"))
    assert notebookctl("gpu").stdout.splitlines()[-1] == "the GPUs cannot be seen: the driver is not loaded"


def test_a_program_s_own_xid_is_noted_only(notebookctl, toy):
    health = wire.GpuHealth(status="ok", xid=31, at="2026-11-21T19:00:00.000Z", notebook=B)
    toy.on("GET /v1/gpu", board(worlds.gpu(0, "free", health=health)))
    assert notebookctl("gpu").stdout.splitlines()[-1] == "GPU 0: noted: Xid 31, Nov 21 19:00, hit 0abbbbbb"


@pytest.mark.parametrize(
    ("health", "said"),
    [
        (wire.GpuHealth(status="failed", xid=79, message="Xid 79"), "GPU 0: Xid 79"),
        (wire.GpuHealth(status="failed", message="a double-bit ECC error"), "GPU 0: a double-bit ECC error"),
        (wire.GpuHealth(status="failed"), "GPU 0: failed"),
        (wire.GpuHealth(status="quarantined"), None),
        (wire.GpuHealth(status="unknown"), None),
    ],
)
def test_what_ails_a_gpu_is_said_once(notebookctl, toy, health, said):
    toy.on("GET /v1/gpu", board(worlds.gpu(0, "quarantined", health=health)))
    assert notebookctl("gpu").stdout.splitlines()[2:] == (["", said] if said else [])


def test_a_gpu_that_is_slowed_says_by_what_and_is_not_called_sick(notebookctl, toy):
    health = wire.GpuHealth(status="ok", throttle=["thermal", "power-brake"])
    toy.on("GET /v1/gpu", board(worlds.gpu(0, "free", health=health), worlds.gpu(1, "free")))
    said = notebookctl("gpu").stdout.splitlines()
    assert said[3:] == ["", "GPU 0: its clocks are held down: thermal, power-brake"]
    rows = list(csv.DictReader(notebookctl("gpu", "-o", "csv").stdout.splitlines()))
    assert [(each["THROTTLE"], each["HEALTH"]) for each in rows] == [("thermal power-brake", "ok"), ("", "ok")]


def test_a_gpu_is_shown_where_other_tools_have_it(notebookctl, station):
    assert " 00000000:02:00.0 " in notebookctl("gpu").stdout
    rows = csv.DictReader(notebookctl("gpu", "-o", "csv").stdout.splitlines())
    assert [each["PCI BUS ID"] for each in rows][:2] == ["00000000:01:00.0", "00000000:02:00.0"]


@pytest.mark.parametrize("args", [("gpu",), ("gpu", "-o", "csv")])
@pytest.mark.parametrize("width", [None, 80])
def test_what_others_wrote_does_not_steer_the_terminal(notebookctl, toy, args, width):
    toy.on("GET /v1/gpu", hostile_board())
    notebookctl.terminal = FakeTerminal(width=width)
    result = notebookctl(*args)
    assert result.exit_code == 0
    assert "evil" in result.stdout
    assert not set(result.output) & set("\x1b\x07\x9b\u202e\r")


def test_a_hostile_refusal_does_not_steer_the_terminal(notebookctl, station):
    station.on("PUT /v1/gpu/release", refused(HOSTILE, "forbidden"), 403)
    assert not set(notebookctl("gpu", "release").output) & set("\x1b\x07\x9b\u202e\r")


def test_gpus_and_actions_are_completed(notebookctl, station):
    def completed(words, count):
        env = {"_NOTEBOOKCTL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(count)}
        return [line.partition(",")[2] for line in notebookctl(env=env).stdout.splitlines()]

    assert completed("notebookctl gpu ", 2) == ["list", "drain", "undrain", "clear", "release", "acquire"]
    assert completed("notebookctl gpu drain GPU-00000001", 3) == [ONE]
    assert completed("notebookctl gpu drain ", 3)[:6] == ["0", "1", "2", "3", "4", "5"]
    assert completed("notebookctl gpu release ", 3) == [""]
    assert completed("notebookctl to", 1) == ["top", "token"]


def test_the_latest_start_is_told_for_people_and_for_programs(notebookctl, toy):
    entry = json.loads(worlds.QUEUE)["items"][0]
    entries = [
        entry | {"latestStartAt": at}
        for at in ("2026-11-22T22:05:59.000Z", "2026-11-22T20:00:30.000Z", "2026-11-22T19:00:00.000Z", None)
    ]
    toy.on("GET /v1/queue", {"items": entries})
    rows = notebookctl("queue").stdout.splitlines()[1:]
    assert [row.rpartition("free  ")[2] for row in rows] == ["in 2 h 5 min", "in 30 s", "now", "-"]
    assert "2026-11-22T22:05:59.000Z" in notebookctl("queue", "-o", "csv").stdout


def test_why_tells_the_place_and_the_latest_start(notebookctl, toy):
    waits = json.loads(worlds.QUEUE)["items"][0] | {"latestStartAt": "2026-11-22T22:05:00.000Z", "position": 3}
    why = {"notebook": A, "state": "STARTING", "sentences": ["It waits."], "deadlines": [], "waitsFor": waits}
    toy.on(f"GET /v1/notebook/{A}/why", why)
    assert notebookctl("why", A).stdout == ("It waits.\nLatest start: in 2 h 5 min (Sun 2026-11-22 22:05 UTC).\n")
    toy.on(f"GET /v1/notebook/{A}/why", why | {"waitsFor": waits | {"latestStartAt": None}})
    assert "Latest start: not known" in notebookctl("why", A).stdout
    quota = waits | {"latestStartAt": None, "waitsFor": "quota: its owner's quota of GPUs held at once"}
    toy.on(f"GET /v1/notebook/{A}/why", why | {"waitsFor": quota})
    assert notebookctl("why", A).stdout == "It waits.\n", "the sentences say what to stop"


def test_people_read_the_reason_and_programs_its_word_too(notebookctl, toy):
    entry = json.loads(worlds.QUEUE)["items"][0] | {"waitsFor": "turn: earlier requests of the same flavor"}
    toy.on("GET /v1/queue", {"items": [entry]})
    assert "  earlier requests of the same flavor" in notebookctl("queue").stdout
    assert "turn" not in notebookctl("queue").stdout
    assert ",turn: earlier requests of the same flavor," in notebookctl("queue", "-o", "csv").stdout


def test_memory_that_nobody_holds_is_marked_and_said(notebookctl, toy):
    left = msgspec.structs.replace(worlds.gpu(0, "free", used=70), leftover=70 * 2**30)
    toy.on("GET /v1/gpu", board(left, worlds.gpu(1, "free")))
    lines = notebookctl("gpu").output.splitlines()
    assert "free+leftover" in lines[1]
    assert "leftover" not in lines[2]
    assert lines[-1] == "GPU 0: 70.0 GiB of its memory is held by no process that is seen: it is leased last"
