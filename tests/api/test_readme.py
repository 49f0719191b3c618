# SPDX-License-Identifier: Apache-2.0
"""The README's script, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from notebookd.testing.house import make_world
from tests.api.fuzzing import served

README = Path(__file__).parents[2] / "README.md"


def script() -> str:
    """The example."""
    (found,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    return str(found)


def test_the_script_makes_a_notebook_and_waits_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(make_world(tmp_path), tmp_path) as house:
        monkeypatch.setenv("NOTEBOOKD_SOCKET", str(house.api.socket))
        exec(script(), {})
        url, row = capsys.readouterr().out.splitlines()
        (made,) = house.ask("GET", "/v1/notebook")["items"]
        assert url.startswith(made["status"]["url"])
        assert "token=" in url
        assert row == f"{made['spec']['name']} RUNNING"
        exec(script(), {})  # the same key: the same notebook
        assert house.ask("GET", "/v1/notebook")["metadata"]["total"] == 1
