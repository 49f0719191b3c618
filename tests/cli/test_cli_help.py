# SPDX-License-Identifier: Apache-2.0
"""The help of every verb: examples that can be typed, exit codes, and what was meant by what is not known."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import click
import pytest

from notebookd.cli.examples import EXAMPLES, exit_codes_of
from notebookd.cli.main import cli
from tests.cli.verbs import verbs

ROOT = Path(__file__).parents[2]


LEAVES = {" ".join(words): command for words, command in verbs()}


def test_every_verb_has_examples_and_there_are_no_others() -> None:
    assert set(EXAMPLES) == LEAVES.keys()
    assert all(EXAMPLES.values())


@pytest.mark.parametrize(("verb", "command"), LEAVES.items(), ids=LEAVES)
def test_each_example_can_be_typed(verb: str, command: click.Command) -> None:
    for line in EXAMPLES[verb]:
        words = shlex.split(re.split(r"[|>]", line)[0])
        depth = len(verb.split())
        assert " ".join(words[:depth]) == verb
        command.make_context(verb, words[depth:], parent=click.Context(cli))


@pytest.mark.parametrize("verb", LEAVES)
def test_the_help_ends_with_them(notebookctl, verb) -> None:
    shown = notebookctl(*verb.split(), "--help").stdout
    _, _, ending = shown.partition("\nExamples:\n")
    examples, _, codes = ending.partition("\nExit codes:\n")
    assert examples.splitlines() == [f"  notebookctl {line}" for line in EXAMPLES[verb]]
    assert [line.split()[0] for line in codes.splitlines() if line[2:3].strip()] == [c for c, _ in exit_codes_of(verb)]


def test_the_programs_own_help_has_all_codes(notebookctl) -> None:
    shown = notebookctl("--help").stdout.partition("\nExit codes:\n")[2]
    assert [line.split()[0] for line in shown.splitlines() if line[2:3].strip()] == ["0", "1", "2", "3", "4", "130"]


def test_the_manuals_have_them() -> None:
    made = dict(runpy.run_path(str(ROOT / "packaging/manpages.py"))["pages"]())
    for verb in ("run", "exec", "doctor"):
        page = made[f"man1/notebookctl-{verb}.1"]
        assert page.index(".SH EXAMPLES") < page.index(".SH EXIT STATUS") < page.index(".SH SEE ALSO")
    assert ".SH EXIT STATUS" in made["man1/notebookctl.1"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["lst"], "did you mean 'list'?"),
        (["snapshot", "frok"], "did you mean 'fork'?"),
        (["list", "--stats", "RUNNING"], "Did you mean one of: '--sort', '--states'?"),
        (["run", "conda", "jupyterlab", "--gpus", "2"], "'--gpu'?"),
        (["gpu", "darin", "0"], "'drain'"),
        (["me", "-o", "jsn"], "'json'"),
        (["list", "--sort", "nme"], "'name'"),
        (["usage", "--group-by", "usr"], "none of user, notebook, flavor"),
    ],
)
def test_what_was_meant_is_said(notebookctl, words, hint) -> None:
    done = notebookctl(*words)
    assert done.exit_code == 2
    assert hint in done.stderr
