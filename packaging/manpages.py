# SPDX-License-Identifier: Apache-2.0
"""``manpages.py FOLDER``: writes the man pages, from the same words that ``--help`` prints."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from notebookd import __version__
from notebookd.cli.examples import examples_of, exit_codes_of
from notebookd.cli.main import cli
from notebookd.daemon import main as daemon
from notebookd.gateway.main import main as gateway

FILES = (
    ("/etc/notebookd/notebookd.toml", "configuration; every key is optional"),
    ("/etc/notebookd/catalogue.d/*.toml", "more choices for the catalogue"),
    ("/run/notebookd/api.sock", "the API, for members of group notebookd"),
    ("/var/lib/notebookd", "workspaces and the database"),
    ("/var/lib/notebookd-engine", "images and containers"),
    ("/usr/share/doc/notebookd/operating.md", "the operating guide"),
)


def escape(text: str) -> str:
    """Text as roff takes it for text."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return "\n".join(f"\\&{line}" if line.startswith(".") else line for line in text.splitlines())


def header(name: str, section: int, summary: str) -> list[str]:
    """Title and name. The date is that of the source, so that two builds agree. Lines are not stretched: a long word,
    such as a volume's grammar, leaves room that cannot be."""
    day = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC).date().isoformat()
    title = f'.TH "{name.upper()}" {section} "{day}" "notebookd {__version__}"'
    return [title, ".ad l", ".SH NAME", f"{escape(name)} \\- {escape(summary)}"]


def paragraphs(text: str) -> Iterator[str]:
    """Click's help as paragraphs; what follows a ``\\b`` keeps its lines."""
    for paragraph in text.split("\n\n"):
        yield ".PP"
        if paragraph.startswith("\b"):
            yield from (".nf", escape(paragraph.removeprefix("\b").strip("\n")), ".fi")
        else:
            yield escape(" ".join(paragraph.split()))


def command_page(command: click.Command, name: str, context: click.Context) -> list[str]:
    """The page of notebookctl, or of one of its verbs."""
    summary = (command.help or "").strip().split("\n", 1)[0].rstrip(".")
    lines = header(name, 1, summary[:1].lower() + summary[1:])
    usage = " ".join(command.collect_usage_pieces(context))
    lines += [".SH SYNOPSIS", f"\\fB{escape(context.command_path)}\\fR {escape(usage)}", ".SH DESCRIPTION"]
    lines += paragraphs(command.help or "")
    options = [parameter for parameter in command.get_params(context) if isinstance(parameter, click.Option)]
    lines.append(".SH OPTIONS")
    for option, text in filter(None, (each.get_help_record(context) for each in options)):
        lines += [".TP", f"\\fB{escape(option)}\\fR", escape(" ".join(text.split()))]
    verb = context.command_path.partition(" ")[2]
    if examples := examples_of(verb):
        lines += [".SH EXAMPLES", ".nf", *(escape(line) for line in examples), ".fi"]
    lines.append(".SH EXIT STATUS")
    for code, text in exit_codes_of(verb):
        lines += [".TP", f"\\fB{code}\\fR", escape(text)]
    return lines


def program_page(name: str, summary: str, main: Callable[[list[str]], int]) -> list[str]:
    """The page of a daemon: what its ``--help`` says, and where its files are."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main(["--help"])
    lines = [*header(name, 8, summary), ".SH DESCRIPTION", ".nf", escape(said.getvalue().strip()), ".fi", ".SH FILES"]
    for path, text in FILES:
        lines += [".TP", f"\\fI{escape(path)}\\fR", escape(text)]
    others = {"notebookctl": 1, "notebookd": 8, "notebookd-gateway": 8}
    return [*lines, *see_also({other: number for other, number in others.items() if other != name})]


def see_also(pages: Mapping[str, int]) -> list[str]:
    """The last section."""
    *first, last = [f".BR {escape(name)} ({number})" for name, number in pages.items()]
    return [".SH SEE ALSO", *(f"{line} ," for line in first), last]


def pages() -> Iterator[tuple[str, list[str]]]:
    """Every page with its file name."""
    os.environ["COLUMNS"] = "78"  # argparse's width, wherever this runs
    context = click.Context(cli, info_name="notebookctl", max_content_width=78, help_option_names=["-h", "--help"])
    top = command_page(cli, "notebookctl", context)
    top.append(".SH VERBS")
    for verb in cli.list_commands(context):
        command = cli.get_command(context, verb)
        assert command is not None
        top += [".TP", f"\\fB{verb}\\fR", escape(command.get_short_help_str(200))]
        name = f"notebookctl-{verb}"
        page = command_page(command, name, click.Context(command, parent=context, info_name=verb))
        yield f"man1/{name}.1", [*page, *see_also({"notebookctl": 1})]
    yield "man1/notebookctl.1", [*top, *see_also({"notebookd": 8})]
    yield "man8/notebookd.8", program_page("notebookd", "notebooks on this machine, as a service", daemon)
    yield (
        "man8/notebookd-gateway.8",
        program_page("notebookd-gateway", "routes browsers to notebooks", gateway),
    )


def main() -> None:
    """Write them all below the folder named."""
    folder = Path(sys.argv[1])
    sys.argv[0] = "notebookd"
    for name, lines in pages():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
