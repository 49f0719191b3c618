# SPDX-License-Identifier: Apache-2.0
"""The shells that complete, as click has them, but that nothing is offered that would steer the terminal: others chose
the names."""

from __future__ import annotations

from click.shell_completion import BashComplete, CompletionItem, FishComplete, ZshComplete, add_completion_class

__all__ = ["offer_printable"]


class _Printable:
    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        found: list[CompletionItem] = super().get_completions(args, incomplete)  # type: ignore[misc]
        return [each for each in found if f"{each.value}{each.help or ''}".isprintable()]


class _Bash(_Printable, BashComplete):
    # What goes on after it, as NOTEBOOK: does, gets no blank.
    source_template = BashComplete.source_template.replace(
        "    return 0\n", "    [[ ${COMPREPLY[0]-} != *[/=:] ]] || compopt -o nospace\n    return 0\n"
    )

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words, ``label:NAME`` in one: bash parts it at the colon, and puts only what follows that anew."""
        words, incomplete = super().get_completion_args()
        args: list[str] = []
        for word in [*words, incomplete]:
            last = args[-1].rpartition(",")[2] if args else ""
            if (last == "label" and word == ":") or (last == "label:" and word):
                args[-1] += word
            else:
                args.append(word)
        return args[:-1], args[-1]

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """Of ``label:NAME`` what follows the colon."""
        found, typed = super().get_completions(args, incomplete), incomplete.rfind("label:")
        for each in found if typed >= 0 else ():
            each.value = each.value[typed + len("label:") :]
        return found


class _Zsh(_Printable, ZshComplete):
    pass


class _Fish(_Printable, FishComplete):
    pass


def offer_printable() -> None:
    """Have click's shells offer only that from now on."""
    for shell in (_Bash, _Zsh, _Fish):
        add_completion_class(shell)
