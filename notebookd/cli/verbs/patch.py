# SPDX-License-Identifier: Apache-2.0
"""``notebookctl patch``."""

from __future__ import annotations

from pathlib import Path

import click

from notebookd import wire
from notebookd.cli import words
from notebookd.cli.here import Here, Verb, completes, notebook_argument, output_option, pass_here
from notebookd.cli.naming import notebook_id
from notebookd.cli.result import show_changed


@click.command("patch", cls=Verb, equals=("--restart-on-timeout", "--unsecure-http"))
@notebook_argument
@click.option("-g", "--gpu", type=click.IntRange(min=0), help="Number of GPUs.")
@click.option("-c", "--cpu", type=click.IntRange(min=0), help="Number of CPUs, instead of GPUs.")
@click.option("-f", "--flavor", shell_complete=completes("flavors"), help="Flavor to take them from.")
@click.option("-v", "--volume", "volume", multiple=True, metavar="SPEC", help="Volume; those given replace all.")
@click.option("--remove-all-volumes", is_flag=True, help="Have no volumes.")
@click.option("-l", "--label", "label", multiple=True, metavar="K=V", help="Label; those given replace all.")
@click.option("--remove-all-labels", is_flag=True, help="Have no labels.")
@click.option(
    "-e", "--envvar", "envvar", multiple=True, metavar="K=V", help="Environment variable; those given replace all."
)
@click.option("--remove-all-envvars", is_flag=True, help="Have no environment variables.")
@click.option(
    "-s", "--ssh-public-keys", "keys", type=click.Path(path_type=Path), metavar="FILE", help="SSH public keys."
)
@click.option("--remove-all-public-ssh-keys", "remove_all_keys", is_flag=True, help="Have no SSH keys.")
@click.option("--unsecure-http", type=bool, default=None, help="Let in anybody who reaches the URL.")
@click.option("--restart-on-timeout", type=bool, default=None, help="Restart when its time is up, instead of stopping.")
@output_option
@pass_here
def verb(
    here: Here,
    *,
    notebook: str,
    gpu: int | None,
    cpu: int | None,
    flavor: str | None,
    volume: tuple[str, ...],
    remove_all_volumes: bool,
    label: tuple[str, ...],
    remove_all_labels: bool,
    envvar: tuple[str, ...],
    remove_all_envvars: bool,
    keys: Path | None,
    remove_all_keys: bool,
    unsecure_http: bool | None,
    restart_on_timeout: bool | None,
    output: str,
) -> None:
    """Change a notebook's spec.

    Labels and --restart-on-timeout change any time, the rest only while the notebook is stopped.
    """
    for given, removed, option in (
        (volume, remove_all_volumes, "--volume"),
        (label, remove_all_labels, "--label"),
        (envvar, remove_all_envvars, "--envvar"),
        (keys, remove_all_keys, "--ssh-public-keys"),
    ):
        if given and removed:
            raise click.UsageError(f"{option} and its removal exclude each other")
    patch = wire.NotebookPatch(
        env_vars=None if remove_all_envvars else words.env_vars(envvar),
        labels=None if remove_all_labels else words.labels(label),
        resources=words.resources(gpu, cpu, flavor),
        ssh_public_keys=None if remove_all_keys else words.public_keys(keys),
        timeout_auto_restart=wire.UNSET if restart_on_timeout is None else restart_on_timeout,
        unsecure_http=wire.UNSET if unsecure_http is None else unsecure_http,
        volumes=None if remove_all_volumes else words.volumes(volume),
    )
    if patch == wire.NotebookPatch():
        raise click.UsageError("nothing to change: give at least one option")
    identity = notebook_id(here, notebook)
    here.client.patch_notebook(identity, patch)
    show_changed(here, identity, output)
