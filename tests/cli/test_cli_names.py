# SPDX-License-Identifier: Apache-2.0
"""Every verb that takes a notebook takes it by each of its names. The verbs themselves are asked which do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from notebookd.cli.main import VERBS
from tests.cli.verbs import verbs
from tests.cli.worlds import A, B, me, notebook, page

OPTIONS = ("--notebook",)
MORE = {
    "cp": ["./file"],
    "exec": ["--", "id"],
    "extend": ["2d"],
    "label": ["a=b"],
    "patch": ["--restart-on-timeout"],
    "rename": ["new"],
    "delete": ["--yes", "--force"],
}
"""What a verb wants besides."""


def takers() -> Iterator[tuple[str, ...]]:
    """The verbs with a notebook among their arguments or options, as their own usage has it."""
    return (words for words, command in verbs() if any(_is_notebook(each) for each in command.params))


def _is_notebook(parameter: click.Parameter) -> bool:
    shown = f"{parameter.name} {parameter.metavar or ''}".upper()
    return "NOTEBOOK" in shown or (parameter.name == "source" and "SRC" in shown)


def words_of(verb: tuple[str, ...], name: str) -> list[str]:
    match verb:
        case ("cp",):
            return ["cp", "./file", f"{name}:x"]
        case ("rm",):
            return ["rm", f"{name}:x"]
        case ("events",):
            return ["events", "--notebook", name]
        case _:
            return [*verb, name, *MORE.get(verb[-1], [])]


@pytest.fixture(autouse=True)
def world(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BROWSER", "/nowhere")
    (tmp_path / "file").touch()
    toy.on("GET /v1/me", me("root", "administrator"))
    toy.on("GET /v1/notebook", page(notebook(A, "calm"), notebook(B, "calm", user="bob")))


def test_they_are_found() -> None:
    found = {" ".join(verb) for verb in takers()}
    assert found >= {"get", "stop", "cp", "rm", "events", "snapshot fork", "exec", "push-data", "receipt", "url"}
    assert {verb.split()[0] for verb in found} <= set(VERBS)
    assert len(found) > 20


@pytest.mark.parametrize("name", ["bob/calm", B[:3], B, B.upper()])
@pytest.mark.parametrize("verb", list(takers()), ids=" ".join)
def test_each_of_its_names_will_do(notebookctl, toy, verb, name):
    notebookctl(*words_of(verb, name))
    asked = [f"{each.path} {each.query}" for each in toy.asked if each.path not in {"/v1/notebook", "/v1/me"}]
    assert asked, (verb, name)
    assert all(B in each for each in asked), asked


@pytest.mark.parametrize("verb", list(takers()), ids=" ".join)
def test_a_name_that_several_have_is_nobodys(notebookctl, toy, verb):
    done = notebookctl(*words_of(verb, "calm"))
    assert done.exit_code == 2
    assert "'calm' means more than one notebook: alice/calm, bob/calm" in done.stderr
    assert {each.method for each in toy.asked} == {"GET"}


@pytest.mark.parametrize("verb", list(takers()), ids=" ".join)
def test_what_there_is_not_is_said(notebookctl, toy, verb):
    done = notebookctl(*words_of(verb, "carol/calm"))
    assert done.exit_code == 1
    assert "cannot find notebook 'carol/calm'" in done.stderr


class TestFilesHere:
    """cp tells a notebook of somebody else from a file here."""

    def test_a_folder_that_is_here_and_no_such_notebook_is_a_file_here(self, notebookctl, toy):
        Path("out").mkdir()
        done = notebookctl("cp", "./file", "out/a:b")
        assert done.exit_code == 2
        assert "one of SRC and DST is NOTEBOOK:PATH" in done.stderr

    def test_a_notebook_goes_before_a_folder(self, notebookctl, toy):
        Path("bob").mkdir()
        notebookctl("cp", "bob/calm:x", ".")
        assert toy.asked[-1].path == f"/v1/notebook/{B}/archive"

    @pytest.mark.parametrize("word", ["./a:b", "../a:b", "/tmp/a:b", "a/b/c:d", "~/a:b"])
    def test_what_only_a_file_can_be_asks_nobody(self, notebookctl, toy, word):
        assert notebookctl("cp", "./file", word).exit_code == 2
        assert toy.asked == []
