# SPDX-License-Identifier: Apache-2.0
"""The CLI under test: in-process with a terminal of its own, or as a program, both against a toy on a socket."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner

from notebookd.cli.main import cli
from tests.cli.fake_terminal import FakeTerminal
from tests.cli.toy_server import Toy, toy_server

GOLDEN = Path(__file__).parent / "golden"


@dataclass
class Notebookctl:
    """Runs the CLI against the toy."""

    toy: Toy
    terminal: FakeTerminal = field(default_factory=FakeTerminal)
    cache: str = "/nowhere"

    def env(self):
        """Where the daemon is, and where what it said is kept."""
        return {"NOTEBOOKD_SOCKET": self.toy.path, "XDG_CACHE_HOME": self.cache}

    def __call__(self, *args, keys=None, env=None):
        """In this process, on the fake terminal."""
        return CliRunner().invoke(cli, list(args), obj=self.terminal, input=keys, env={**self.env(), **(env or {})})

    def program(self, *args, keys=b""):
        """As a program of its own, without a terminal."""
        return subprocess.run(
            [sys.executable, "-c", "from notebookd.cli.program import main; main()", *args],
            input=keys,
            capture_output=True,
            env={**os.environ, **self.env()},
            timeout=60,
            check=False,
        )


@pytest.fixture
def toy(tmp_path):
    with toy_server(tmp_path) as toy:
        yield toy


@pytest.fixture
def notebookctl(toy, tmp_path):
    return Notebookctl(toy, cache=str(tmp_path / "cache"))


@pytest.fixture
def golden():
    """Compare a text with a file; ``NOTEBOOKD_GOLDEN=write`` writes the file instead."""

    def check(name, text):
        file = GOLDEN / name
        if os.environ.get("NOTEBOOKD_GOLDEN") == "write":
            file.write_text(text)
        assert text == file.read_text()

    return check
