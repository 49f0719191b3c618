# SPDX-License-Identifier: Apache-2.0
"""What notebookctl top draws: golden frames, little room, trouble, hostile words; what it gives without a screen."""

from __future__ import annotations

import json
from datetime import timedelta

import msgspec
import pytest
import yaml
from rich.cells import cell_len

from notebookd import wire
from notebookd.cli.top import frame, ink
from notebookd.cli.top.past import Past
from notebookd.cli.top.sight import PARTS, Part, Seen
from notebookd.cli.top.view import SORTS, View
from notebookd.client import Unreachable
from tests.cli import worlds
from tests.cli.workshop import D
from tests.cli.worlds import HOSTILE, B, C, board, hostile_board, notebook, page

NOW = wire.parse_rfc3339("2026-11-22T20:00:00Z")
NOTEBOOKS = page(notebook(), notebook(B, "brave", "STARTING"), notebook(C, "gentle", gpu=0, user="carol"))


def part(body, shape):
    return Part(body=body, value=msgspec.json.decode(body, type=shape), at=NOW)


def seen(gpu=worlds.STATION, queue=worlds.WAITING, notebooks=NOTEBOOKS, health=worlds.HEALTH, loads=worlds.LOADS):
    return Seen(
        gpu=part(gpu, wire.GpuList),
        queue=part(queue, wire.Queue),
        notebook=part(notebooks, wire.NotebookList),
        load=part(loads, wire.LoadList),
        health=part(health, wire.Health),
    )


def drawn(sight, width=80, height=24, *, now=NOW, signs=ink.UNICODE, foot="every 1 s", **kept):
    lines = frame.draw(sight, width=width, height=height, now=now, signs=signs, foot=foot, **kept)
    return [line.plain.rstrip() for line in lines]


def watched():
    """What was seen of the board over two minutes."""
    past = Past()
    for second in range(100):
        gpus = [
            worlds.gpu(
                index, "leased", utilisation=(second * (index + 3)) % 101 if index < 2 else None if second < 50 else 0
            )
            for index in range(6)
        ]
        past.note(wire.GpuList(items=gpus), NOW - timedelta(seconds=100 - second))
    return past


def away(sight, *, trouble="cannot reach notebookd at /run/api.sock: Connection refused", never=False):
    """The same, with a daemon that does not answer now, or never did."""
    error = Unreachable(trouble, hint="systemctl status notebookd")

    def gone(known):
        return Part(trouble=error) if never else Part(body=known.body, value=known.value, at=known.at, trouble=error)

    return Seen(**{name: gone(getattr(sight, name)) for name in PARTS})


@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 40), (200, 50)])
def test_frames_are_golden(golden, width, height):
    lines = drawn(seen(), width, height, past=watched())
    assert len(lines) == height
    golden(f"top-{width}x{height}.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize("signs", [ink.UNICODE, ink.ASCII])
@pytest.mark.parametrize("width", [1, 20, 40, 59, 60, 71, 72, 80, 99, 100, 120, 300])
@pytest.mark.parametrize("height", [1, 4, 9, 17, 24, 80, None])
def test_a_frame_is_never_larger_than_its_screen(width, height, signs):
    for sight in (seen(), away(seen()), Seen(), seen(gpu=hostile_board())):
        lines = frame.draw(sight, width=width, height=height, now=NOW, signs=signs, foot="q quit")
        assert all(cell_len(line.plain) <= width for line in lines)
        assert height is None or len(lines) == height


def test_without_unicode_a_frame_is_ascii():
    assert "\n".join(drawn(seen(), 140, 40, signs=ink.ASCII)).isascii()


def test_many_gpus_are_cut_and_counted_and_the_queue_keeps_its_place():
    lines = drawn(seen(gpu=board(*(worlds.gpu(index, "free") for index in range(64)))))
    text = "\n".join(lines)
    shown = sum(" free  " in line for line in lines[3:])
    assert f"… {64 - shown} more" in text
    assert shown >= 10
    assert "  1  brave            alice" in text
    assert lines[1].startswith(" 64 free")


def test_each_thing_is_said_without_colour():
    text = "\n".join(drawn(seen(), 120, 40))
    for word in ("leased+foreign", "quarantined", "drained", "84C!", "bob  pid 4242  30.0 GiB  python train.py"):
        assert word in text
    memory = next(line for line in text.splitlines() if "gentle (carol)" in line)
    assert ink.UNICODE.strange in memory


def test_a_part_of_the_memory_bar_is_strangers():
    assert ink.bar([(0.55, "", False), (0.25, "", True)], 8, ink.UNICODE).plain == "━━━━══──"
    assert ink.bar([(0.06, "", False)], 8, ink.UNICODE).plain == "╸───────"
    assert ink.bar([(1.7, "", False), (0.5, "", True)], 8, ink.UNICODE).plain == "━━━━━━━━"
    assert ink.bar([(0.0, "", False), (0.001, "", True)], 8, ink.UNICODE).plain == "═───────"


def test_a_daemon_that_is_away_is_said_and_the_last_sight_stays():
    text = "\n".join(drawn(away(seen()), now=NOW + timedelta(seconds=12)))
    assert "cannot reach notebookd at /run/api.sock: Connection refused; trying again" in text
    assert "below is what was seen 12 s ago" in text
    assert "calm (alice)" in text
    assert text.count("cannot reach") == 1
    assert "● ok" not in text


def test_a_daemon_that_never_answered_leaves_no_empty_board():
    text = "\n".join(drawn(away(Seen(), never=True)))
    assert "Connection refused; trying again" in text
    assert "GPU " not in text
    assert "asking notebookd" in "\n".join(drawn(Seen()))


def test_gpus_that_cannot_be_seen_are_said():
    text = "\n".join(drawn(seen(gpu=board(worlds.gpu(0, "free"), trouble="the driver is not loaded"))))
    assert "▲ the GPUs cannot be seen: the driver is not loaded" in text
    assert "○ free?" in text
    assert " 1 free? " in text


def test_an_ill_daemon_names_what_ails_it():
    ill = wire.Health(
        status="degraded",
        version="0.1.0",
        dependencies={
            "store": wire.Dependency(status="ok"),
            "engine": wire.Dependency(status="degraded", message="it lacks cgroup controllers"),
            "gpus": wire.Dependency(status="failed"),
        },
    )
    head = drawn(seen(health=wire.encode(ill)), 140)[1]
    assert head == " ▲ degraded  gpus: failed; engine: it lacks cgroup controllers"


AILING = wire.encode(
    wire.Health(
        status="degraded",
        version="0.1.0",
        dependencies={"gateway": wire.Dependency(status="degraded", message="it has not said what it carries " * 6)},
    )
)


def notebooks_of(lines):
    """The names of the notebooks, in their order."""
    first = next(number for number, line in enumerate(lines) if line.startswith("     NOTEBOOK"))
    return [line.split()[0] for line in lines[first + 1 :] if line.startswith("     ")]


def test_what_ails_it_is_a_line_that_can_be_opened_and_dismissed():
    view, sight = View(), seen(health=AILING)
    closed = drawn(sight, 80, view=view)
    assert closed[1].startswith(" ▲ degraded  gateway: it has not said")
    assert closed[1].endswith("…")
    assert "e what is wrong" in drawn(sight, 140, view=view)[-1]
    view.press(b"e")
    opened = drawn(sight, 80, view=view)
    assert " ".join(" ".join(opened[2:6]).split()).startswith("gateway: it has not said what it carries it has not")
    assert sum(line.count("carries") for line in opened) == 6
    view.press(b"x")
    assert not any("degraded" in line for line in drawn(sight, 80, view=view))
    other = AILING.replace(b"it has not said", b"it has gone and has not said")
    assert drawn(seen(health=other), 80, view=view)[1].startswith(" ▲ degraded  gateway: it has gone")


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("age", ["gentle", "late", "calm"]),
        ("cpu", ["calm", "gentle", "late"]),
        ("memory", ["calm", "gentle", "late"]),
        ("disk", ["late", "gentle", "calm"]),
        ("ends", ["gentle", "calm", "late"]),
        ("owner", ["late", "calm", "gentle"]),
        ("name", ["calm", "gentle", "late"]),
    ],
)
def test_notebooks_are_sorted_by_a_key(sort, names):
    items = [json.loads(notebook()), json.loads(notebook(C, "gentle", user="carol")), json.loads(notebook(D, "late"))]
    for number, each in enumerate(items):
        each["createdAt"] = f"2026-11-22T1{9 - number}:00:00.000Z"
        each["status"]["workspace"]["storageUsed"] = 2**30 * (number + 1)
    items[2]["user"] = "aaron"
    items[1]["createdAt"] = "2026-11-22T09:00:00.000Z"
    del items[2]["status"]["lastJobStatus"]["timeoutAt"]
    sight = seen(notebooks=json.dumps({**json.loads(NOTEBOOKS), "items": items}).encode())
    view = View()
    for _ in range(SORTS.index(sort)):
        view.press(b"s")
    lines = drawn(sight, 120, 40, view=view)
    assert notebooks_of(lines) == names
    assert f"s sort: {sort}" in lines[-1]
    view.press(b"r")
    assert notebooks_of(drawn(sight, 120, 40, view=view)) == names[::-1]
    view.press(b"S" * (len(SORTS) + SORTS.index(sort)))
    assert view.sort == "age"


def test_what_is_looked_for_is_shown_alone():
    view = View()
    assert not view.press(b"/car")
    assert "/car_   Enter keeps it" in drawn(seen(), 120, 40, view=view)[-1]
    assert not view.press(b"ox\x7f\x7f"), "while one types, letters are letters"
    assert not view.press(b"o\r")
    text = "\n".join(drawn(seen(), 120, 40, view=view))
    assert "gentle (carol)" in text
    assert "calm" not in text
    assert "brave" not in text
    assert "/ filter: caro" in text
    view.press(b"/")
    view.press(b"\x1b")
    assert "calm (alice)" in "\n".join(drawn(seen(), 120, 40, view=view))


@pytest.mark.parametrize("keys", [b"q", b"Q", b"\x1b", b"\x03", b"\x04"])
def test_keys_that_leave(keys):
    assert View().press(keys)


@pytest.mark.parametrize("keys", [b"\x1b[A", b"z", b"s", b"\xff\xfe", b"e", b"x"])
def test_keys_that_do_not(keys):
    assert not View().press(keys)


def test_hostile_letters_that_are_looked_for_steer_nothing():
    view = View()
    view.press(b"/")
    view.press(b"\x9b2J\xc2\x9b31m\xe2\x80\xaeevil" * 40)
    assert not set("".join(drawn(seen(), 140, 40, view=view))) & set("\x1b\x07\x9b\u202e\r\n")


def test_the_past_is_as_long_as_it_is_watched_and_says_what_is_not_known():
    past = watched()
    (line,) = [line for line in drawn(seen(), 200, 50, past=past) if "calm (alice)" in line]
    assert sum(letter in ink.UNICODE.levels for letter in line) == 40
    assert ink.sparks([0, 50, None, 100], 6, ink.UNICODE).plain == "  ▁▅ █"
    assert ink.sparks([], 3, ink.ASCII).plain == "   "
    past.note(wire.GpuList(items=[]), NOW)
    assert past.of("GPU-1") == ()


def test_hostile_words_steer_nothing():
    queue = json.loads(worlds.QUEUE)
    queue["items"][0] |= {"name": HOSTILE, "waitsFor": HOSTILE, "owner": HOSTILE, "latestStartAt": HOSTILE}
    ill = wire.Health(status=HOSTILE, version=HOSTILE, dependencies={HOSTILE: wire.Dependency(status=HOSTILE)})
    sight = seen(gpu=hostile_board(), queue=json.dumps(queue).encode(), health=wire.encode(ill))
    for each in (sight, away(sight, trouble=HOSTILE)):
        text = "".join(drawn(each, 140, 40))
        assert "evil" in text
        assert not set(text) & set("\x1b\x07\x9b\u202e\r\n")
    bracketed = board(worlds.gpu(0, "[red]free[/]"))
    assert "[red]free" in "\n".join(drawn(seen(gpu=bracketed)))


@pytest.fixture
def station(toy):
    toy.on("GET /v1/gpu", worlds.STATION)
    toy.on("GET /v1/queue", worlds.WAITING)
    toy.on("GET /v1/notebook", NOTEBOOKS)
    toy.on("GET /v1/load", worlds.LOADS)
    toy.on("GET /v1/health", worlds.HEALTH)
    return toy


@pytest.mark.parametrize("args", [("--once",), ()])
def test_without_a_terminal_it_is_shown_once_and_plain(notebookctl, station, args):
    result = notebookctl("top", *args, env={"COLUMNS": "120"})
    assert (result.exit_code, result.stderr) == (0, "")
    assert "bob  pid 4242  30.0 GiB  python train.py" in result.stdout
    assert "\x1b" not in result.stdout
    assert len(station.asked) == 5
    assert station.sent("GET /v1/notebook")[0].query["statusState"] == ["STARTING", "RUNNING", "RESTARTING", "STOPPING"]


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_get_the_daemon_s_answers(notebookctl, station, form, read):
    found = read(notebookctl("top", "--once", "-o", form).stdout)
    assert found == {
        "gpu": json.loads(worlds.STATION),
        "queue": json.loads(worlds.WAITING),
        "notebook": json.loads(NOTEBOOKS),
        "load": json.loads(worlds.LOADS),
        "health": json.loads(worlds.HEALTH),
    }


def test_a_part_that_is_refused_is_said_beside_the_others(notebookctl, station):
    station.on("GET /v1/queue", {"message": "cannot list the queue: no", "code": "forbidden"}, 403)
    result = notebookctl("top", "--once", env={"COLUMNS": "100"})
    assert result.exit_code == 0
    assert "cannot list the queue: no" in result.stdout
    assert "calm (alice)" in result.stdout
    found = json.loads(notebookctl("top", "-o", "json").stdout)
    assert found["troubles"] == {"queue": "cannot list the queue: no"}


@pytest.mark.parametrize("form", ["table", "json"])
def test_without_a_board_it_is_an_error(notebookctl, station, tmp_path, form):
    station.on("GET /v1/gpu", {"message": "cannot show the board: no", "code": "forbidden"}, 403)
    assert notebookctl("top", "--once", "-o", form).exit_code == 1
    result = notebookctl("top", "--once", "-o", form, "--socket", str(tmp_path / "none"))
    assert (result.exit_code, result.stdout) == (3, "")


@pytest.mark.parametrize("args", [("--interval", "0"), ("--interval", "x"), ("-o", "csv"), ("more",)])
def test_wrong_words_are_usage_errors(notebookctl, args):
    assert notebookctl("top", *args).exit_code == 2


def test_its_picture_needs_nothing_from_elsewhere(notebookctl, station, tmp_path):
    assert notebookctl("top", "--svg", str(tmp_path / "top.svg")).exit_code == 0
    picture = (tmp_path / "top.svg").read_text()
    assert "train.py" in picture
    assert "url(http" not in picture
    assert "url(" not in picture.replace("url(#", "")
    assert "@font-face" not in picture
