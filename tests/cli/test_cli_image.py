# SPDX-License-Identifier: Apache-2.0
"""``notebookctl image``, and ``run --timings``."""

from __future__ import annotations

import json

import pytest

from notebookd import wire
from tests.cli.worlds import A, B, notebook

LAB = "localhost/notebookd/jupyterlab:1"
USE = wire.CatalogueUse(editor="jupyterlab", framework="conda", version="py311")


def image(name=LAB, digest="a" * 64, **changes):
    fields = {
        "present": True,
        "catalogue": [USE],
        "notebooks": [],
        "in_use": 0,
        "prepared_for": [42420],
        "name": name,
        "digest": f"sha256:{digest}",
        "size": 1_200_000_000,
        "created_at": "2026-11-20T17:00:00.000Z",
    }
    return wire.Image(**{**fields, **changes})


LIST = wire.encode(
    wire.ImageList(
        items=[
            image(notebooks=[wire.ImageUser(notebook=A, name="calm", owner="alice")], in_use=3),
            image(wire.UNSET, "b" * 64, catalogue=[], prepared_for=[], busy="remove"),
            wire.Image(
                present=False,
                catalogue=[wire.CatalogueUse(editor="jupyterlab", framework="pytorch", version="2.6")],
                notebooks=[],
                in_use=0,
                prepared_for=[],
                name="lab/torch:2.6",
            ),
        ],
        recipes=[
            wire.ImageRecipe(name="jupyterlab", images=[LAB], base="localhost/notebookd/base:1"),
            wire.ImageRecipe(name="odd", images=[], fault="it has no catalogue.toml"),
            wire.ImageRecipe(name="pytorch", images=["lab/torch:2.6"]),
        ],
    )
)


@pytest.fixture
def images(toy):
    toy.on("GET /v1/image", LIST)
    return toy


def test_the_list_is_golden(notebookctl, images, golden):
    golden("image.txt", notebookctl("image").stdout)
    golden("image.csv", notebookctl("image", "list", "-o", "csv").stdout)
    assert notebookctl("image", "-o", "json").stdout_bytes == LIST + b"\n"


def test_an_order_tells_its_steps_on_stderr_and_what_came_of_it_on_stdout(notebookctl, toy, golden):
    progress = [
        {"text": "STEP 1/2: FROM base"},
        {"text": "Downloading", "done": 2**20, "total": 2**22},
        {"text": "\x1b[2Jevil"},
        {"images": json.loads(wire.encode([image(catalogue=[])]))},
    ]
    toy.on("POST /v1/image", progress)
    result = notebookctl("image", "build", "jupyterlab", "--base", "debian:12")
    assert (result.exit_code, toy.asked[0].json) == (
        0,
        {"action": "build", "name": "jupyterlab", "base": "debian:12"},
    )
    golden("image-build.stderr", result.stderr)
    assert result.stdout.splitlines()[1].startswith(LAB)
    shown = notebookctl("image", "pull", LAB, "-o", "json")
    assert json.loads(shown.stdout)["images"][0]["name"] == LAB


def test_an_order_that_fails_on_the_way_is_a_refusal(notebookctl, toy):
    error = {"message": "cannot pull image a: manifest unknown", "code": "engine-error", "hint": "look"}
    toy.on("POST /v1/image", [{"text": "Pulling"}, {"error": error}])
    result = notebookctl("image", "pull", "a")
    assert result.exit_code == 1
    assert "manifest unknown" in result.stderr
    assert "engine-error" in result.stderr
    assert "hint: look" in result.stderr


def test_an_answer_that_breaks_off_is_no_success(notebookctl, toy):
    toy.on("POST /v1/image", [{"text": "Pulling"}])
    result = notebookctl("image", "pull", "a")
    assert (result.exit_code == 0, result.stdout) == (False, "")
    assert "broke off" in result.stderr


def test_an_order_that_is_refused_at_once(notebookctl, toy):
    toy.on("POST /v1/image", {"message": "cannot pull image a: somebody's pull of it goes on", "code": "conflict"}, 409)
    assert notebookctl("image", "pull", "a").exit_code == 1


def test_removing_says_nothing_to_people(notebookctl, images):
    images.on("DELETE /v1/image", status=204)
    assert notebookctl("image", "remove", "a/b:1").stdout == ""
    assert images.asked[0].query == {"name": ["a/b:1"]}
    assert notebookctl("image", "remove", "a", "-o", "json").stdout_bytes == LIST + b"\n"


@pytest.mark.parametrize(
    "words", [["list", "x"], ["pull"], ["build"], ["remove"], ["prepare"], ["pull", "x", "--base", "y"], ["push", "x"]]
)
def test_what_makes_no_sense_is_a_usage_error(notebookctl, toy, words):
    assert notebookctl("image", *words).exit_code == 2
    assert toy.asked == []


def test_what_is_being_built_is_not_said_to_be_missing(notebookctl, toy):
    building = image(name="localhost/mine:1", present=False, busy="build")
    recipe = wire.ImageRecipe(name="mine", images=["localhost/mine:1"])
    toy.on("GET /v1/image", wire.encode(wire.ImageList(items=[building], recipes=[recipe])))
    told = notebookctl("image").stdout
    assert "localhost/mine:1: somebody's build goes on" in told
    assert "not built" not in told


@pytest.mark.parametrize(
    ("action", "wanted"),
    [("build", ["jupyterlab", "odd", "pytorch"]), ("remove", [LAB]), ("pull", ["lab/torch:2.6"]), ("prepare", [LAB])],
)
def test_names_are_completed(notebookctl, images, action, wanted):
    env = {"_NOTEBOOKCTL_COMPLETE": "bash_complete", "COMP_WORDS": f"notebookctl image {action} ", "COMP_CWORD": "3"}
    assert [line.partition(",")[2] for line in notebookctl(env=env).stdout.splitlines()] == wanted


TIMINGS = wire.Timings(
    notebook=A,
    run=1,
    total=480.0,
    items=[
        wire.TimingStep(step=step, at="2026-11-22T17:00:00.000Z", milliseconds=ms)
        for step, ms in (
            ("accepted", 0.0),
            ("compute granted", 6.0),
            ("container started", 74.0),
            ("editor answered", 400),
        )
    ],
)


def test_run_shows_where_the_time_went_before_the_url(notebookctl, toy, golden):
    toy.on("POST /v1/notebook", notebook())
    toy.on(f"GET /v1/notebook/{A}", notebook())
    toy.on(f"GET /v1/notebook/{A}/access", {"url": "http://x/", "token": "t"})
    toy.on(f"GET /v1/notebook/{A}/timings", wire.encode(TIMINGS))
    result = notebookctl("run", "conda", "jupyterlab", "--timings")
    assert (result.exit_code, result.stdout) == (0, "http://x/\n")
    golden("run-timings.stderr", result.stderr)


def test_a_start_that_fails_shows_how_far_it_got(notebookctl, toy):
    toy.on("POST /v1/notebook", notebook())
    toy.on(f"GET /v1/notebook/{A}", notebook(state="ERROR", info="no such image"))
    toy.on(f"GET /v1/notebook/{A}/timings", wire.encode(TIMINGS))
    result = notebookctl("run", "conda", "jupyterlab", "--timings")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.index("container started") < result.stderr.rindex("no such image")


def test_deprecated_versions_stand_in_brackets(notebookctl, toy):
    framework = wire.Framework(
        id="conda", name="Python", description="d", versions=["py312"], deprecated_versions={"py311": "take py312"}
    )
    toy.on("GET /v1/capabilities/notebook/framework", wire.encode([framework]))
    assert "py312 (py311)" in notebookctl("capabilities", "framework").stdout
    editor = wire.Editor(id="vim", name="Vim", description="An editor", deprecated="take vscode")
    toy.on("GET /v1/capabilities/notebook/editor", wire.encode([editor]))
    assert "An editor (deprecated: take vscode)" in notebookctl("capabilities", "editor").stdout
    assert B not in toy.asked[0].path
