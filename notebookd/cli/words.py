# SPDX-License-Identifier: Apache-2.0
"""What people write for a spec: ``K=V`` pairs, key files, times. What is wrong with them is a usage error.

The parser of times is imported on use: most verbs are given none."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import click

from notebookd import wire
from notebookd.cli.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["day_or_instant", "env_vars", "instant", "labels", "pairs", "public_keys", "resources", "span", "volumes"]


def _pair(word: str, option: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"{word!r} is not of the form NAME=VALUE", param_hint=option)
    return name, value


def pairs(words: Iterable[str], option: str) -> list[tuple[str, str]]:
    """``NAME=VALUE`` each."""
    return [_pair(word, option) for word in words]


def labels(words: Iterable[str]) -> dict[str, str | None] | wire.UnsetType:
    """Labels, or unset when there are none."""
    return dict(pairs(words, "--label")) or wire.UNSET


def env_vars(words: Iterable[str]) -> list[wire.EnvVar] | wire.UnsetType:
    """Environment variables, or unset when there are none."""
    return [wire.EnvVar(name=name, value=value) for name, value in pairs(words, "--envvar")] or wire.UNSET


def public_keys(file: Path | None) -> list[str] | wire.UnsetType:
    """The SSH public keys in a file, one a line; blank lines and comments are passed over."""
    if file is None:
        return wire.UNSET
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"cannot read {file}: {error}", param_hint="--ssh-public-keys") from error
    return [line for line in lines if line and not line.startswith("#")]


def resources(gpu: int | None, cpu: int | None, flavor: str | None) -> wire.Resources | wire.UnsetType:
    """What is asked for, or unset. As in ovhai, CPUs beside GPUs are ignored, and that is said."""
    if gpu and cpu:
        click.echo("note: --cpu is ignored beside --gpu: CPUs come with the GPUs", err=True)
        cpu = None
    if gpu is None and cpu is None and flavor is None:
        return wire.UNSET
    return wire.Resources(
        gpu=wire.UNSET if gpu is None else gpu,
        cpu=wire.UNSET if cpu is None else cpu,
        flavor=wire.UNSET if flavor is None else flavor,
    )


def volumes(words: Iterable[str]) -> list[wire.Volume | str] | wire.UnsetType:
    """Volumes as they were written, or unset when there are none: the daemon knows the grammar."""
    return list(words) or wire.UNSET


def instant(
    word: str | None, terminal: Terminal, option: str, *, ahead: bool = False, through: bool = False
) -> str | None:
    """An RFC 3339 time of what was written of one, in the caller's zone: ``18:00``, ``fri``, ``10m``. It looks back, or
    with ``ahead`` forward; a day alone is its beginning, or with ``through`` its end."""
    if word is None:
        return None
    from notebookd.times import parse_time

    try:
        return wire.rfc3339(parse_time(word, terminal.now(), ahead=ahead, zone=terminal.zone(), through=through))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


def day_or_instant(word: str | None, terminal: Terminal, option: str) -> str | None:
    """A day alone as a day, which is UTC's as those of bills are; a time of a day as :func:`instant` has it."""
    if word is None:
        return None
    from notebookd.times import parse_day

    try:
        day = parse_day(word, terminal.now().astimezone(UTC).date())
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error
    return instant(word, terminal, option) if day is None else day.isoformat()


def span(word: str | None, option: str) -> timedelta | None:
    """A time that passes: ``10m``, ``2h30m``, ``1w``."""
    if word is None:
        return None
    from notebookd.times import parse_duration

    try:
        return timedelta(seconds=parse_duration(word))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error
