# SPDX-License-Identifier: Apache-2.0
"""How one notebook looks in full."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, tzinfo

from notebookd import wire
from notebookd.cli.notebooks import deadline_of
from notebookd.cli.output import age, clean, localised, moment, size, until
from notebookd.cli.transfers import count, reason, remarks, word

__all__ = ["view"]

_SYNCS_SHOWN = 3


def view(notebook: wire.Notebook, now: datetime, zone: tzinfo | None) -> str:
    """One notebook in full, its URL last."""
    lines = [(name, clean(value)) for name, value in _facts(notebook, now, zone) if value]
    width = max(len(name) for name, _ in lines) + 2
    return "\n".join(f"{name + ':':<{width}}{value}" for name, value in lines)


def _facts(notebook: wire.Notebook, now: datetime, zone: tzinfo | None) -> Iterator[tuple[str, str]]:
    spec, status, job = notebook.spec, notebook.status, notebook.status.last_job_status
    yield "Id", notebook.id
    yield "Name", spec.name
    yield "Owner", notebook.user
    yield "State", status.state
    info = status.info or (job.info if job else None)
    yield "Info", f"{localised(info.message, zone)} ({info.code})" if info else ""
    yield "Created", f"{moment(notebook.created_at, zone)} ({age(notebook.created_at, now)} ago)"
    yield "Framework", f"{spec.env.framework_id} {spec.env.framework_version or ''}".rstrip()
    yield "Editor", spec.env.editor_id
    yield "Resources", _resources(spec.resources)
    yield "Labels", ", ".join(f"{name}={value}" for name, value in (spec.labels or {}).items())
    yield "Variables", ", ".join(each.name for each in spec.env_vars or [])
    yield "SSH keys", str(len(spec.ssh_public_keys)) if spec.ssh_public_keys else ""
    yield "Auto-restart", "yes" if spec.timeout_auto_restart else ""
    yield "Unsecured", "yes, anybody who reaches the URL may enter" if spec.unsecure_http else ""
    states = {each.mount_path: each for each in status.volumes or []}
    for volume in spec.volumes or []:
        yield "Volume", _volume(volume) + _synced(states.get(volume.mount_path), now)
    for sync in (status.data_sync or [])[:_SYNCS_SHOWN]:
        yield "Transfer", f"{word(sync)}, {age(sync.created_at, now)} ago: {_standing(sync)}"
    if job:
        yield "Exit code", "" if job.exit_code is wire.UNSET else str(job.exit_code)
    deadline = deadline_of(notebook)
    yield "Deadline", f"{moment(deadline, zone)} (in {until(deadline, now)})" if deadline else ""
    if status.workspace:
        used = status.workspace.storage_used
        known = "" if used is wire.UNSET else f"{size(used)} used, "
        yield "Workspace", f"{known}{size(status.workspace.storage_free)} free"
    yield "URL", status.url


def _resources(resources: wire.answers.Resources) -> str:
    parts = []
    if resources.gpu:
        parts.append(f"{resources.gpu} x {resources.gpu_brand or ''} {resources.gpu_model or 'GPU'}".replace("  ", " "))
    if resources.cpu:
        parts.append(f"{resources.cpu} CPU")
    if resources.memory:
        parts.append(f"{size(resources.memory)} memory")
    if resources.flavor:
        parts.append(f"flavor {resources.flavor}")
    return ", ".join(parts)


def _synced(state: wire.VolumeStatus | None, now: datetime) -> str:
    """When it came in and went back last."""
    if state is None:
        return ""
    ends = (("in", state.last_pulled_created_at), ("out", state.last_pushed_created_at))
    said = [f"{way} {age(at, now)} ago" for way, at in ends if at]
    return f" ({', '.join(said)})" if said else ""


def _standing(sync: wire.DataSync) -> str:
    amount = count(sync.status.progress or [])
    if sync.status.state == "DONE":
        return amount + remarks(sync)
    return f"{sync.status.state}, {amount}: {reason(sync)}"


def _volume(volume: wire.answers.Volume) -> str:
    source = "standalone"
    if volume.data_store:
        prefix = f"/{volume.data_store.prefix}" if volume.data_store.prefix else ""
        source = f"{volume.data_store.container}@{volume.data_store.alias}{prefix}"
    elif volume.public_git:
        source = volume.public_git.url
    return f"{source}:{volume.mount_path}:{volume.permission.lower()}{':cache' if volume.cache else ''}"
