# SPDX-License-Identifier: Apache-2.0
"""``notebookctl run``."""

from __future__ import annotations

import uuid
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import click

from notebookd import wire
from notebookd.cli import words
from notebookd.cli.here import Here, Verb, completes, output_option, pass_here, wait_option
from notebookd.cli.result import show_entry, show_notebook
from notebookd.cli.timings import steps_of
from notebookd.cli.waiting import wait_until_running
from notebookd.client import Refused, Reply


@click.command("run", cls=Verb, equals=("--restart-on-timeout",))
@click.argument("framework", shell_complete=completes("frameworks"))
@click.argument("editor", shell_complete=completes("editors"))
@click.option("-g", "--gpu", type=click.IntRange(min=0), help="Number of GPUs.")
@click.option("-c", "--cpu", type=click.IntRange(min=0), help="Number of CPUs, instead of GPUs.")
@click.option("-f", "--flavor", shell_complete=completes("flavors"), help="Flavor to take them from.")
@click.option(
    "-v",
    "--volume",
    "volume",
    multiple=True,
    metavar="SPEC",
    help="CONTAINER@ALIAS[/PREFIX]:/PATH[:ro|rw|rwd][:cache], https://….git:/PATH or standalone:/PATH.",
)
@click.option("-n", "--name", help="Name; one is made up otherwise.")
@click.option("-l", "--label", "label", multiple=True, metavar="K=V", help="Label.")
@click.option("-e", "--envvar", "envvar", multiple=True, metavar="K=V", help="Environment variable.")
@click.option(
    "-s",
    "--ssh-public-keys",
    "keys",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="SSH public keys, one a line. They are stored, and not served yet.",
)
@click.option(
    "--framework-version",
    shell_complete=completes("framework_versions"),
    help="Version of the framework; the catalogue's first otherwise.",
)
@click.option("--unsecure-http", is_flag=True, help="Let in anybody who reaches the URL.")
@click.option("--restart-on-timeout", type=bool, default=None, help="Restart when its time is up, instead of stopping.")
@click.option("--timings", is_flag=True, help="Show where the time went, step by step. Waits.")
@click.option("--timeout", metavar="SPAN", help="Wait so long at most (10m); then it exits with 4. Waits.")
@wait_option
@output_option
@pass_here
def verb(
    here: Here,
    *,
    framework: str,
    editor: str,
    gpu: int | None,
    cpu: int | None,
    flavor: str | None,
    volume: tuple[str, ...],
    name: str | None,
    label: tuple[str, ...],
    envvar: tuple[str, ...],
    keys: Path | None,
    framework_version: str | None,
    unsecure_http: bool,
    restart_on_timeout: bool | None,
    timings: bool,
    timeout: str | None,
    wait: bool | None,
    output: str,
) -> None:
    """Create a notebook and start it.

    With --wait its steps are shown, and the last line is the URL to open, its token included. Ctrl-C and --timeout end
    the waiting alone: the notebook goes on, and "stop" ends it.
    """
    at_most = _patience(timeout, wait=wait)
    spec = wire.NotebookSpec(
        env=wire.NotebookEnv(
            editor_id=editor, framework_id=framework, framework_version=framework_version or wire.UNSET
        ),
        env_vars=words.env_vars(envvar),
        labels=words.labels(label),
        name=wire.UNSET if name is None else name,
        resources=words.resources(gpu, cpu, flavor),
        ssh_public_keys=words.public_keys(keys),
        timeout_auto_restart=wire.UNSET if restart_on_timeout is None else restart_on_timeout,
        unsecure_http=unsecure_http or wire.UNSET,
        volumes=words.volumes(volume),
    )
    if spec.ssh_public_keys:
        here.terminal.note("note: the SSH keys are stored, and not served yet")
    begun = here.terminal.now()
    reply = here.client.create_notebook(spec, idempotency_key=str(uuid.uuid4()))
    if timings or at_most is not None or (wait if wait is not None else here.terminal.watched()):
        notebook = reply.value
        here.terminal.note(f"notebook {notebook.spec.name} ({notebook.id})")
        show_entry(here, _running(here, notebook.id, begun, timings=timings, at_most=at_most), output)
    else:
        show_notebook(here, reply, output)


def _patience(timeout: str | None, *, wait: bool | None) -> timedelta | None:
    if timeout is not None and wait is False:
        raise click.UsageError("--timeout says how long to wait: it does not go with --no-wait")
    return words.span(timeout, "--timeout")


def _running(
    here: Here, notebook: str, begun: datetime, *, timings: bool, at_most: timedelta | None
) -> Reply[wire.Notebook]:
    try:
        return wait_until_running(here, notebook, begun, at_most=at_most)
    finally:  # a start that fails got somewhere, too
        if timings:
            with suppress(Refused):  # it may be gone
                here.terminal.note(steps_of(here.client.timings(notebook).value))
