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
from notebookd.cli.top.sight import Part, Seen
from notebookd.client import Unreachable
from tests.cli import worlds
from tests.cli.worlds import HOSTILE, B, C, board, hostile_board, notebook, page

NOW = wire.parse_rfc3339("2026-11-22T20:00:00Z")
NOTEBOOKS = page(notebook(), notebook(B, "brave", "STARTING"), notebook(C, "gentle", gpu=0, user="carol"))


def part(body, shape):
    return Part(body=body, value=msgspec.json.decode(body, type=shape), at=NOW)


def seen(gpu=worlds.STATION, queue=worlds.WAITING, notebooks=NOTEBOOKS, health=worlds.HEALTH):
    return Seen(
        gpu=part(gpu, wire.GpuList),
        queue=part(queue, wire.Queue),
        notebook=part(notebooks, wire.NotebookList),
        health=part(health, wire.Health),
    )


def drawn(sight, width=80, height=24, *, now=NOW, signs=ink.UNICODE, foot="q quit   every 1 s"):
    return [
        line.plain.rstrip() for line in frame.draw(sight, width=width, height=height, now=now, signs=signs, foot=foot)
    ]


def away(sight, *, trouble="cannot reach notebookd at /run/api.sock: Connection refused", never=False):
    """The same, with a daemon that does not answer now, or never did."""
    error = Unreachable(trouble, hint="systemctl status notebookd")

    def gone(known):
        return Part(trouble=error) if never else Part(body=known.body, value=known.value, at=known.at, trouble=error)

    return Seen(gpu=gone(sight.gpu), queue=gone(sight.queue), notebook=gone(sight.notebook), health=gone(sight.health))


@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 40)])
def test_frames_are_golden(golden, width, height):
    lines = drawn(seen(), width, height)
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
    head = drawn(seen(health=wire.encode(ill)), 140)[0]
    assert "▲ degraded  gpus: failed  engine: it lacks cgroup controllers" in head


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
    toy.on("GET /v1/health", worlds.HEALTH)
    return toy


@pytest.mark.parametrize("args", [("--once",), ()])
def test_without_a_terminal_it_is_shown_once_and_plain(notebookctl, station, args):
    result = notebookctl("top", *args, env={"COLUMNS": "120"})
    assert (result.exit_code, result.stderr) == (0, "")
    assert "bob  pid 4242  30.0 GiB  python train.py" in result.stdout
    assert "\x1b" not in result.stdout
    assert len(station.asked) == 4
    assert station.sent("GET /v1/notebook")[0].query["statusState"] == ["STARTING", "RUNNING", "RESTARTING", "STOPPING"]


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_get_the_daemon_s_answers(notebookctl, station, form, read):
    found = read(notebookctl("top", "--once", "-o", form).stdout)
    assert found == {
        "gpu": json.loads(worlds.STATION),
        "queue": json.loads(worlds.WAITING),
        "notebook": json.loads(NOTEBOOKS),
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
