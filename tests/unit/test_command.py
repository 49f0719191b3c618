# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shlex

from hypothesis import given
from hypothesis import strategies as st

from notebookd.api.command import command_line
from notebookd.cli.verbs.run import verb
from notebookd.domain.spec import ResourceWish, SpecWish
from notebookd.domain.volumes import parse_volume

WISH = SpecWish(editor="jupyterlab", framework="conda")


def test_the_least_is_two_words() -> None:
    assert command_line(WISH) == "notebookctl run conda jupyterlab"


def test_everything_that_was_asked_is_in_the_line() -> None:
    line = command_line(
        SpecWish(
            editor="jupyterlab",
            framework="conda",
            version="py311",
            name="lab",
            resources=ResourceWish(gpu=2, flavor="a-1-gpu"),
            volumes=(parse_volume("sets@DATA/a b:/data:rw"), parse_volume("standalone:/tmp/x")),
            labels={"team": "computer vision"},
            env_vars=(("GREETING", "hello 'you'"),),
            timeout_auto_restart=True,
            unsecure_http=True,
        )
    )
    assert shlex.split(line) == [
        *("notebookctl", "run", "conda", "jupyterlab", "--gpu", "2", "--flavor", "a-1-gpu"),
        *("--volume", "sets@DATA/a b:/data:rw", "--volume", "standalone:/tmp/x", "--name", "lab"),
        *("--label", "team=computer vision", "--envvar", "GREETING=hello 'you'", "--framework-version", "py311"),
        *("--unsecure-http", "--restart-on-timeout"),
    ]


def test_zero_is_absent() -> None:
    wish = SpecWish(editor="jupyterlab", framework="conda", resources=ResourceWish(gpu=0, cpu=3))
    assert command_line(wish) == "notebookctl run conda jupyterlab --cpu 3"


plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(plain, plain)
def test_a_shell_gives_the_words_back_as_they_were(key: str, value: str) -> None:
    line = command_line(SpecWish(editor="e", framework="f", env_vars=((key, value),)))
    assert shlex.split(line)[-1] == f"{key}={value}"


def test_the_cli_knows_every_option_of_the_line() -> None:
    known = {option for parameter in verb.params for option in parameter.opts}
    assert {
        *("--gpu", "--cpu", "--flavor", "--name", "--label", "--envvar", "--framework-version", "--unsecure-http"),
        *("--restart-on-timeout", "--volume"),
    } <= known
