# SPDX-License-Identifier: Apache-2.0
"""Completion offers no word that would steer the terminal: others chose the names that a shell offers."""

from __future__ import annotations

from click.shell_completion import BashComplete, CompletionItem, FishComplete, ZshComplete, add_completion_class

__all__ = ["offer_printable"]


class _Printable:
    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        found: list[CompletionItem] = super().get_completions(args, incomplete)  # type: ignore[misc]
        return [each for each in found if str(each.value).isprintable()]


class _Bash(_Printable, BashComplete):
    pass


class _Zsh(_Printable, ZshComplete):
    pass


class _Fish(_Printable, FishComplete):
    pass


def offer_printable() -> None:
    """Have click's shells offer only that from now on."""
    for shell in (_Bash, _Zsh, _Fish):
        add_completion_class(shell)
