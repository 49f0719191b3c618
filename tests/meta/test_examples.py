# SPDX-License-Identifier: Apache-2.0
"""What stands in the pages to be typed or copied can be."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from notebookd.cli.main import cli
from notebookd.config import load_config
from tests.documented import ROOT, typed

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/operating.md",
    "docs/development.md",
    "docs/catalogue.md",
    "docs/images.md",
)


def commands() -> Iterator[tuple[str, ...]]:
    """What follows ``notebookctl`` in the pages' blocks of commands."""
    for page in PAGES:
        for line in typed(page):
            for command in line.commands:
                _, name, arguments = command.partition("notebookctl ")
                if name:
                    yield tuple(shlex.split(arguments))


def tables() -> Iterator[tuple[str, str]]:
    """The blocks of configuration."""
    for page in PAGES:
        for number, block in enumerate(re.findall(r"```toml\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)):
            yield f"{page}-{number}", block


@pytest.mark.parametrize("arguments", sorted(set(commands())), ids=" ".join)
def test_every_command_is_one(arguments: tuple[str, ...]) -> None:
    command: click.Command = cli
    context, rest = click.Context(cli), list(arguments)
    while isinstance(command, click.Group):
        verb = command.get_command(context, rest.pop(0))
        assert verb is not None
        command, context = verb, click.Context(verb, parent=context)
    command.make_context(None, rest, parent=context)


@pytest.mark.parametrize("table", [each for _, each in tables()], ids=[name for name, _ in tables()])
def test_every_configuration_can_be_used(tmp_path: Path, table: str) -> None:
    file = tmp_path / "notebookd.toml"
    file.write_text(table)
    load_config(file)


def test_there_are_examples() -> None:
    assert len(set(commands())) > 30
    assert len(list(tables())) > 5
