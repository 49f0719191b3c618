# SPDX-License-Identifier: Apache-2.0
"""What others wrote is shown and not obeyed: every text of every answer, on a terminal, in a pipe and in CSV."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import threading

import pytest

from notebookd import wire
from notebookd.cli.guard import guarded
from notebookd.cli.live import live_screen
from notebookd.cli.main import cli
from notebookd.cli.output import Table
from notebookd.neutral import neutral
from tests.cli import (
    test_cli_chown,
    test_cli_config,
    test_cli_data,
    test_cli_image,
    test_cli_token,
    test_cli_usage,
    worlds,
)
from tests.cli.fake_terminal import FakeTerminal
from tests.cli.test_cli_copy import ARCHIVE, tar
from tests.cli.worlds import A, B, me, notebook, page

TERMINAL = {
    "the title (OSC 0)": "\x1b]0;owned\x07",
    "the clipboard (OSC 52)": "\x1b]52;c;cm0gLXJmIH4=\x1b\\",
    "a link (OSC 8)": "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "an empty screen (CSI)": "\x1b[2J\x1b[H",
    "invisible letters (SGR)": "\x1b[8mhidden\x1b[0m",
    "a report typed as input (CSI 6 n)": "\x1b[6n\x1b[c",
    "a device string (DCS)": "\x1bP+q544e\x1b\\",
    "CSI in one letter": "\x9b31m",
    "OSC in one letter": "\x9d0;owned\x9c",
    "other letters (SO)": "\x0e",
    "letters wiped out": "rm\x08\x08ls",
    "a line written over": "good\revil",
    "a bell": "\x07",
    "NUL and DEL": "\x00\x7f",
    "letters from right to left": "\u202eevil\u202c",
    "isolates": "\u2066evil\u2069\u2067x\u2069\u2068y\u2069",
    "marks of direction": "\u200f\u200e\u061c",
    "line ends that are none": "\u2028x\u2029y",
}
FORMULAS = [
    "=1+1",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1,1)",
    "\t=1",
    "\r=1",
    "\uff1d1+1",
    "a;=1+1",
    "\uff20x",
    "=\x1b[2J",
]
ATTACK = "".join(TERMINAL.values())
TIME = re.compile(r"\d{4}-\d\d-\d\dT")
STEERING = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|\r(?!\n)")

SYNC = test_cli_data.sync("FAILED", message="no such bucket")
BUSY = json.loads(notebook(info="it is fine")) | {}
BUSY["spec"]["envVars"] = [{"name": "TOKEN"}]
BUSY["status"]["dataSync"] = [json.loads(wire.encode(SYNC))]
LINES = worlds.LOG["logs"]

PLACES = {
    "list": (["list"], "GET /v1/notebook", json.loads(page(notebook()))),
    "get": (["get", A], f"GET /v1/notebook/{A}", BUSY),
    "why": (["why", A], f"GET /v1/notebook/{A}/why", json.loads(worlds.WHY)),
    "url": (["url", A], f"GET /v1/notebook/{A}/access", worlds.access()),
    "me": (["me"], "GET /v1/me", json.loads(me())),
    "gpu": (["gpu"], "GET /v1/gpu", json.loads(worlds.STATION)),
    "queue": (["queue"], "GET /v1/queue", json.loads(worlds.WAITING)),
    "top": (["top", "--once"], "GET /v1/gpu", json.loads(worlds.STATION)),
    "top, the queue": (["top", "--once"], "GET /v1/queue", json.loads(worlds.WAITING)),
    "top, health": (["top", "--once"], "GET /v1/health", json.loads(worlds.HEALTH)),
    "flavors": (["capabilities", "flavor"], "GET /v1/capabilities/flavor", json.loads(worlds.FLAVORS)),
    "frameworks": (
        ["capabilities", "framework"],
        "GET /v1/capabilities/notebook/framework",
        json.loads(worlds.FRAMEWORKS),
    ),
    "editors": (["capabilities", "editor"], "GET /v1/capabilities/notebook/editor", json.loads(worlds.EDITORS)),
    "quotas": (["capabilities", "quota"], "GET /v1/capabilities/quota", json.loads(worlds.QUOTAS)),
    "logs": (["logs", A], f"GET /v1/notebook/{A}/log", worlds.LOG),
    "logs -t": (["logs", A, "-t"], f"GET /v1/notebook/{A}/log", worlds.LOG),
    "logs -f": (["logs", A, "-f", "-t"], f"GET /v1/notebook/{A}/log", LINES),
    "events": (["events"], "GET /v1/event", worlds.EVENTS),
    "images": (["image"], "GET /v1/image", json.loads(test_cli_image.LIST)),
    "image build": (["image", "pull", "a:1"], "POST /v1/image", [{"text": "Pulling"}, {"error": "denied"}]),
    "datastores": (["datastore"], "GET /v1/datastore", json.loads(wire.encode(test_cli_data.TestDatastores.STORES))),
    "objects": (
        ["datastore", "objects", "S3", "sets"],
        "GET /v1/datastore/S3/object",
        json.loads(wire.encode(test_cli_data.TestDatastores.OBJECTS)),
    ),
    "snapshots": (
        ["snapshot", "list", A],
        f"GET /v1/notebook/{A}/backup",
        json.loads(wire.encode(test_cli_data.BACKUPS)),
    ),
    "tokens": (["token"], "GET /v1/token", json.loads(test_cli_token.TOKENS)),
    "usage": (["usage"], "GET /v1/usage", json.loads(test_cli_usage.REPORT)),
    "usage by label": (["usage", "--by", "label:course"], "GET /v1/usage", json.loads(test_cli_usage.BY_LABEL)),
    "usage, drawn": (["usage", "--by", "label:course,day"], "GET /v1/usage", json.loads(test_cli_usage.BY_LABEL)),
    "usage disk": (["usage", "disk"], "GET /v1/usage/disk", json.loads(test_cli_usage.DISK)),
    "receipt": (["receipt", A], f"GET /v1/notebook/{A}/receipt", json.loads(test_cli_usage.RECEIPT)),
    "config": (["config", "show"], "GET /v1/config", json.loads(test_cli_config.SHOWN)),
    "chown": (["chown", "a", "b"], "POST /v1/account/chown", json.loads(test_cli_chown.MADE)),
    "a refusal": (
        ["get", B],
        f"GET /v1/notebook/{B}",
        {
            "message": "cannot",
            "code": "invalid",
            "hint": "ask",
            "details": {"faults": [{"path": "$.x", "message": "no"}]},
        },
    ),
}
"""Where a text of somebody else's reaches a screen: the verb, what it asks, and the answer. Every text in the answer,
keys of labels among them, is one place."""


def leaves(value, path=()):
    """The ways to every text, one of each kind: of a list, those of the first item that has it."""
    match value:
        case str():
            if not TIME.match(value):  # the daemon makes them, and nobody else
                yield path
        case dict():
            for key, inner in value.items():
                if key == "groupBy":  # the caller's own
                    continue
                if path and path[-1] in {"labels", "resources"}:
                    yield (*path, ("key", key))
                yield from leaves(inner, (*path, key))
        case list():
            seen = set()
            for index, inner in enumerate(value):
                for found in leaves(inner, (*path, index)):
                    kind = found[len(path) + 1 :]
                    if kind not in seen:
                        seen.add(kind)
                        yield found


def attacked(value, path, text):
    """The same with ``text`` behind the text at the end of the path."""
    if not path:
        return value + text
    step, *rest = path
    if isinstance(step, tuple):
        return {(key + text if key == step[1] else key): inner for key, inner in value.items()}
    copy = list(value) if isinstance(value, list) else dict(value)
    copy[step] = attacked(value[step], rest, text)
    return copy


WAYS = [
    pytest.param(place, path, id=f"{place}: {'.'.join(map(str, path))}")
    for place, (_, _, body) in PLACES.items()
    for path in leaves(body)
]


@contextlib.contextmanager
def pseudo_terminal():
    """What a program wrote on a terminal, as text, in a list of one when the block is over."""
    ours, theirs = os.openpty()
    said, parts = [], []

    def read():
        with contextlib.suppress(OSError):
            while part := os.read(ours, 65_536):
                parts.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with (
            os.fdopen(theirs, "w", encoding="utf-8") as out,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(out),
        ):
            yield said
    finally:
        reader.join(10)
        os.close(ours)
        said.append(b"".join(parts).decode())


def on_a_terminal(toy, *args):
    """What is on the screen after the command."""
    with pseudo_terminal() as said, contextlib.suppress(SystemExit), guarded("notebookctl"):
        cli.main(["--socket", toy.path, *args], prog_name="notebookctl", obj=FakeTerminal(width=120))
    return said[0]


def prepare(toy, place, body):
    args, route, _ = PLACES[place]
    toy.on("GET /v1/me", me())
    toy.on("GET /v1/gpu", worlds.STATION)
    toy.on("GET /v1/queue", worlds.WAITING)
    toy.on("GET /v1/health", worlds.HEALTH)
    toy.on("GET /v1/notebook", page(notebook()))
    toy.on(route, body if isinstance(body, list) and route.startswith(STREAMS) else json.dumps(body).encode())
    if place == "a refusal":
        toy.on(route, body, status=400)
    return args


STREAMS = (f"GET /v1/notebook/{A}/log", "GET /v1/event", "POST /v1/image")


@pytest.mark.parametrize(("place", "path"), WAYS)
def test_nothing_is_obeyed_on_a_terminal(toy, place, path):
    args = prepare(toy, place, attacked(PLACES[place][2], path, ATTACK))
    screen = on_a_terminal(toy, *args)
    assert screen
    if args[0] == "top":  # it has colours of its own, and hides nothing
        screen = re.sub("\x1b\\[(?!8m)[0-9;]*m", "", screen)
    assert not STEERING.search(screen), repr(screen)


@pytest.mark.parametrize("output", ["json", "yaml", "csv"])
@pytest.mark.parametrize(("name", "attack"), TERMINAL.items(), ids=list(TERMINAL))
def test_no_form_of_output_is_obeyed_on_a_terminal(toy, output, name, attack):
    hostile = attacked(json.loads(worlds.STATION), ("items", 0, "name"), attack)
    toy.on("GET /v1/gpu", json.dumps(hostile, ensure_ascii=False).encode())
    screen = on_a_terminal(toy, "gpu", "-o", output)
    assert not STEERING.search(screen), repr(screen)
    if output == "json":
        assert json.loads(screen) == hostile, "the same JSON, escaped"


def test_an_attack_is_shown(toy):
    toy.on(f"GET /v1/notebook/{A}/log", {"logs": [LINES[0] | {"content": "\x1b]0;x\x07 \u202eevil \x9b1m"}]})
    assert on_a_terminal(toy, "logs", A) == "^[]0;x^G \\u202eevil \\u009b1m\r\n"


@pytest.mark.parametrize("follow", [[], ["-f"]])
def test_a_log_goes_into_a_pipe_as_it_is(notebookctl, toy, follow):
    toy.on(
        f"GET /v1/notebook/{A}/log",
        [LINES[0] | {"content": ATTACK}] if follow else {"logs": [LINES[0] | {"content": ATTACK}]},
    )
    assert notebookctl.program("logs", A, *follow).stdout == f"{ATTACK}\n".encode()


def test_json_goes_into_a_pipe_as_the_daemon_sent_it(notebookctl, toy):
    body = json.dumps(attacked(json.loads(worlds.STATION), ("items", 0, "name"), ATTACK), ensure_ascii=False).encode()
    toy.on("GET /v1/gpu", body)
    assert notebookctl.program("gpu", "-o", "json").stdout == body + b"\n"


def test_names_of_files_are_shown_and_not_obeyed(toy, tmp_path):
    toy.on("GET /v1/me", me())
    toy.on(f"GET {ARCHIVE}", tar(("ws", None), (f"ws/{ATTACK}".replace("\x00", ""), "/etc/passwd"), ("ws/../x", b"x")))
    screen = on_a_terminal(toy, "cp", f"{A}:ws", str(tmp_path))
    assert not STEERING.search(screen), repr(screen)


def test_what_is_said_while_waiting_is_shown_and_not_obeyed():
    with pseudo_terminal() as said, guarded("notebookctl"), live_screen() as screen:
        screen.done(ATTACK)
        screen.current(ATTACK, ATTACK)
    assert "^[]0;owned^G" in said[0]
    for attack in ("\x1b]", "\x07", "\x9b", "\x9d", "\x1bP", "\u202e", "\u2066", "\x0e", "\x08", "\x7f"):
        assert attack not in said[0]


def test_completion_offers_no_word_that_steers(notebookctl, toy):
    toy.on("GET /v1/notebook", page(notebook(name="calm\x1b]0;x\x07"), notebook(B, "brave")))
    words = {"_NOTEBOOKCTL_COMPLETE": "bash_complete", "COMP_WORDS": "notebookctl stop ", "COMP_CWORD": "2"}
    said = notebookctl(env=words).stdout
    assert "brave" in said
    assert not STEERING.search(said)


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_cell_of_csv_is_a_formula(notebookctl, toy, formula):
    body = json.loads(worlds.STATION)
    body["items"][0]["name"] = formula
    toy.on("GET /v1/gpu", body)
    for row in csv.reader(io.StringIO(notebookctl("gpu", "-o", "csv").stdout)):
        for cell in row:
            assert not re.search("(^|[;\t])[=+@\t\r\uff1d\uff0b\uff20-]", cell), cell


def test_a_number_of_csv_keeps_its_sign():
    assert Table(("A", "B", "C"), [("-5", "+1.50", "-2+3")]).csv() == "A,B,C\n-5,+1.50,'-2+3"


def test_line_ends_and_tabs_are_no_attack():
    assert neutral("a\tb\r\nc\n") == "a\tb\nc\n"
