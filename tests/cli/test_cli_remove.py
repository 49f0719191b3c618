# SPDX-License-Identifier: Apache-2.0
"""``rm``: which files of which notebook, and when not."""

from __future__ import annotations

import pytest

from tests.cli.worlds import A, notebook, page

ARCHIVE = f"/v1/notebook/{A}/archive"


@pytest.fixture(autouse=True)
def world(toy):
    toy.on("GET /v1/notebook", page(notebook()))
    toy.on(f"DELETE {ARCHIVE}", status=204)


def test_each_path_is_removed(notebookctl, toy):
    result = notebookctl("rm", "calm:out/a b", "calm:/workspace/c")
    assert result.exit_code == 0
    assert [each.query for each in toy.sent(f"DELETE {ARCHIVE}")] == [{"path": ["out/a b"]}, {"path": ["/workspace/c"]}]
    assert result.stderr.splitlines() == ["removed calm:out/a b", "removed calm:/workspace/c"]


@pytest.mark.parametrize(
    "target", ["file", ":file", "./a:b", "calm:", "calm:/", "calm:/workspace", "calm:.", "calm:a/../b"]
)
def test_what_names_no_file_of_a_notebook_is_refused_before_anything_goes(notebookctl, toy, target):
    assert notebookctl("rm", "calm:good", target).exit_code == 2
    assert toy.sent(f"DELETE {ARCHIVE}") == []


def test_nothing_to_remove_is_told(notebookctl, toy):
    message = "cannot remove files: there is nothing at x"
    toy.on(f"DELETE {ARCHIVE}", {"message": message, "code": "not-found"}, status=404)
    result = notebookctl("rm", "calm:x")
    assert result.exit_code == 1
    assert message in result.stderr


def test_notebooks_are_completed_with_their_colon(notebookctl):
    env = {"_NOTEBOOKCTL_COMPLETE": "bash_complete", "COMP_WORDS": "notebookctl rm ca", "COMP_CWORD": "2"}
    assert "calm:" in notebookctl(env=env).stdout
