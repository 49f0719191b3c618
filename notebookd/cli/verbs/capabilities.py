# SPDX-License-Identifier: Apache-2.0
"""``notebookctl capabilities``."""

from __future__ import annotations

import click
import msgspec

from notebookd import wire
from notebookd.cli.here import Here, Verb, completes, output_option, pass_here
from notebookd.cli.output import Table, emit, size
from notebookd.client import Client, ClientError, Reply

_MADE_OF = ("flavor", "framework", "editor")


@click.command("capabilities", cls=Verb)
@click.argument("kind", type=click.Choice(["flavor", "framework", "editor", "quota"]), required=False)
@click.argument("action", type=click.Choice(["list", "get"]), default="list")
@click.argument("identity", metavar="ID", required=False, shell_complete=completes("capabilities"))
@click.option("--compatible-with", metavar="ID", help="Only frameworks for this editor, or editors for this framework.")
@output_option
@pass_here
def verb(
    here: Here, *, kind: str | None, action: str, identity: str | None, compatible_with: str | None, output: str
) -> None:
    """Show what notebooks can be made of.

    That is flavors (kinds of GPU or CPU), frameworks and their versions, editors, and your quota; without a kind, the
    first three. Versions in brackets are deprecated: notebooks that have them go on, new ones take another.
    """
    if kind is None:
        if output != "table" or compatible_with is not None:
            raise click.UsageError("say of what: flavor, framework, editor or quota")
        tables = [_table(each, _listed(_ask(here.client, each, None, None))).text() for each in _MADE_OF]
        click.echo("\n\n".join(tables))
        return
    if (action == "get") != (identity is not None) or (action == "get" and kind == "quota"):
        raise click.UsageError("get takes the ID of a flavor, framework or editor, list takes none")
    if compatible_with is not None and (kind in {"flavor", "quota"} or action == "get"):
        raise click.UsageError("--compatible-with goes with framework list and editor list")
    reply = _ask(here.client, kind, identity, compatible_with)
    if compatible_with is not None and not reply.value:
        _require_known(here.client, "editor" if kind == "framework" else "framework", compatible_with)
    found = _listed(reply)
    emit(output, reply.body, _sheet(kind, found) if output == "csv" else _table(kind, found))


def _require_known(client: Client, kind: str, identity: str) -> None:
    """With something that is not there nothing is compatible, and the daemon lists just that."""
    listed = client.list_editors().value if kind == "editor" else client.list_frameworks().value
    known = [each.id for each in listed]
    if identity not in known:
        raise ClientError(
            f"cannot list what goes with {kind} {identity!r}: there is none", hint=f"there are: {', '.join(known)}"
        )


def _listed(reply: Reply[object]) -> list[object]:
    return reply.value if isinstance(reply.value, list) else [reply.value]


def _ask(client: Client, kind: str, identity: str | None, compatible_with: str | None) -> Reply[object]:
    match kind:
        case "flavor":
            return client.list_flavors() if identity is None else client.get_flavor(identity)
        case "framework":
            if identity is None:
                return client.list_frameworks(compatible_with_editor=compatible_with)
            return client.get_framework(identity)
        case "editor":
            if identity is None:
                return client.list_editors(compatible_with_framework=compatible_with)
            return client.get_editor(identity)
        case _:
            return client.list_quotas()


def _table(kind: str, found: list[object]) -> Table:
    columns = {
        "flavor": ("ID", "TYPE", "DEFAULT", "MAX", "FREE", "CPU/UNIT", "MEMORY/UNIT", "GPU", "DESCRIPTION"),
        "framework": ("ID", "NAME", "VERSIONS", "DESCRIPTION"),
        "editor": ("ID", "NAME", "VERSIONS", "DESCRIPTION"),
        "quota": ("RESOURCE", "QUOTA"),
    }[kind]
    return Table(columns, [row for each in found for row in _rows(each)])


def _sheet(kind: str, found: list[object]) -> Table:
    """The same for programs that read CSV: sizes in bytes, and one thing a column."""
    columns = {
        "flavor": (
            "ID",
            "TYPE",
            "DEFAULT",
            "MAX",
            "FREE",
            "CPU/UNIT",
            "MEMORY/UNIT",
            "GPU",
            "GPU MEMORY",
            "DESCRIPTION",
        ),
        "framework": ("ID", "NAME", "VERSIONS", "DEPRECATED VERSIONS", "DESCRIPTION"),
        "editor": ("ID", "NAME", "VERSIONS", "DEPRECATED", "DESCRIPTION"),
        "quota": ("RESOURCE", "QUOTA"),
    }[kind]
    return Table(columns, [row for each in found for row in _sheet_rows(each)])


def _sheet_rows(each: object) -> list[tuple[str, ...]]:
    match each:
        case wire.Flavor():
            unit, gpu = each.resources_per_unit, each.gpu_information
            model = (f"{gpu.gpu_brand} {gpu.gpu_model}", str(gpu.gpu_memory)) if gpu else ("", "")
            counts = (str(each.max_), str(each.free), str(unit.cpu), str(unit.memory))
            return [(each.id, each.type, "yes" if each.default else "no", *counts, *model, each.description)]
        case wire.Framework():
            deprecated = " ".join(each.deprecated_versions or {})
            return [(each.id, each.name, " ".join(each.versions), deprecated, each.description)]
        case wire.Editor():
            return [(each.id, each.name, " ".join(each.versions or []), each.deprecated or "", each.description)]
        case wire.Quotas():
            rows = [(name, str(count)) for name, count in each.resources.items()]
            return [*rows, ("storage", str(each.storage))]
    raise msgspec.ValidationError(f"unexpected {type(each).__name__}")


def _rows(each: object) -> list[tuple[str, ...]]:
    match each:
        case wire.Flavor():
            unit, gpu = each.resources_per_unit, each.gpu_information
            default = "yes" if each.default else ""
            model = f"{gpu.gpu_brand} {gpu.gpu_model} {size(gpu.gpu_memory)}" if gpu else ""
            counts = (str(each.max_), str(each.free), str(unit.cpu), size(unit.memory))
            about = f"{each.description} (for {', '.join(each.groups)})" if each.groups else each.description
            return [(each.id, each.type, default, *counts, model, about)]
        case wire.Framework():
            versions = [*each.versions, *(f"({version})" for version in each.deprecated_versions or {})]
            return [(each.id, each.name, " ".join(versions), each.description)]
        case wire.Editor():
            about = f"{each.description} (deprecated: {each.deprecated})" if each.deprecated else each.description
            return [(each.id, each.name, " ".join(each.versions or []), about)]
        case wire.Quotas():
            rows: list[tuple[str, ...]] = [(name, str(count)) for name, count in each.resources.items()]
            return [*rows, ("storage", size(each.storage))]
    raise msgspec.ValidationError(f"unexpected {type(each).__name__}")
