# SPDX-License-Identifier: Apache-2.0
"""The configuration as it is in force: every key, its value as one would write it, and whether the file says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from notebookd.config.shape import CatalogueEntry, Config, Datastore, DirectoryDatastore, FlavorOverride, QuotaOverride
from notebookd.times import format_duration
from notebookd.units import format_size

MICROS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A key, dotted, and what holds for it, as text, number, truth value, list or table. ``given``: by the file."""

    key: str
    value: Any
    given: bool


def settings_of(config: Config) -> tuple[Setting, ...]:
    """Every setting, in the order of the documentation. Nothing is None: what is off says so."""
    return tuple(
        Setting(key=key, value=value, given=_is_given(key, config.given))
        for part in (_plain(config), _money(config), _quota(config), _tables(config))
        for key, value in part
    )


def keys_of(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted keys of a TOML document; of an array of tables, each table's: ``image[0].editor``."""
    for key, value in values.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from keys_of(value, f"{dotted}.")
        elif isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            for place, each in enumerate(value):
                yield from keys_of(each, f"{dotted}[{place}].")
        else:
            yield dotted


def _is_given(key: str, given: frozenset[str]) -> bool:
    return key in given or any(each.startswith((f"{key}.", f"{key}[")) for each in given)


def _plain(config: Config) -> Iterator[tuple[str, Any]]:
    yield "paths.state", str(config.paths.state)
    yield "paths.runtime", str(config.paths.runtime)
    yield "api.socket", str(config.api.socket)
    yield "api.group", config.api.group
    yield "api.admin_group", config.api.admin_group
    yield "engine.socket", str(config.engine.socket)
    gpus = config.gpus
    yield "gpus.driver", gpus.driver
    if gpus.driver == "simulated":
        yield "gpus.simulated", gpus.simulated
    yield "gpus.foreign_memory", format_size(gpus.foreign_memory_bytes)
    yield "gpus.ignore_processes", list(gpus.ignore_processes)
    yield from ((f"gpus.xid.{number}", rule) for number, rule in sorted(gpus.xid.items()))
    yield "gpus.leftover_memory", format_size(gpus.leftover_memory_bytes)
    yield "gpus.lease_leftover", gpus.lease_leftover
    yield "gpus.poll", format_duration(gpus.poll_s)
    yield from _lifecycle(config)
    gateway = config.gateway
    host = f"[{gateway.listen_host}]" if ":" in gateway.listen_host else gateway.listen_host
    yield "gateway.listen", f"{host}:{gateway.listen_port}"
    yield "gateway.domain", gateway.domain
    yield "gateway.url", gateway.url
    yield "gateway.api", gateway.api
    yield "gateway.trusted_proxies", list(gateway.trusted_proxies)
    yield "store.min_free", format_size(config.store.min_free_bytes)
    yield "store.min_free_inodes", config.store.min_free_inodes
    yield "store.ballast", format_size(config.store.ballast_bytes)
    yield "events.keep", format_duration(config.events.keep_s)
    yield from _data(config)
    yield "notebooks.ca_file", str(config.surroundings.ca_file or "")
    for name, value in config.surroundings.env.items():
        yield f"notebooks.env.{name}", value
    yield "images.recipes", str(config.recipes)


def _data(config: Config) -> Iterator[tuple[str, Any]]:
    transfers, snapshots, workspace = config.transfers, config.snapshots, config.workspace
    yield "transfers.at_once", transfers.at_once
    yield "transfers.bandwidth", format_size(transfers.bandwidth_bytes_s or 0)
    yield "transfers.max_files", transfers.max_files
    yield "transfers.git_schemes", list(transfers.git_schemes)
    yield "transfers.git_max_size", format_size(transfers.git_max_bytes)
    yield "transfers.git_timeout", format_duration(transfers.git_timeout_s)
    yield "transfers.cache_keep", format_duration(transfers.cache_keep_s)
    yield "transfers.push_exclude", list(transfers.push_exclude)
    yield "snapshots.at_stop", snapshots.at_stop
    yield "snapshots.exclude_caches", snapshots.exclude_caches
    yield "snapshots.keep", snapshots.keep
    yield "snapshots.repository", snapshots.repository
    yield "snapshots.config", str(snapshots.config)
    yield "workspace.quota", format_size(workspace.quota_bytes or 0)
    yield "workspace.measure_every", format_duration(workspace.measure_every_s)


def _lifecycle(config: Config) -> Iterator[tuple[str, Any]]:
    lifecycle = config.lifecycle
    yield "lifecycle.max_running", format_duration(lifecycle.max_running_s)
    yield "lifecycle.max_extension", format_duration(lifecycle.max_extension_s)
    yield "lifecycle.stop_grace", format_duration(lifecycle.stop_grace_s)
    yield "lifecycle.start_timeout", format_duration(lifecycle.start_timeout_s)
    yield "lifecycle.queue_timeout", format_duration(lifecycle.queue_timeout_s)
    yield "lifecycle.warn_before", [format_duration(each) for each in lifecycle.warn_before_s]
    yield "lifecycle.idle_stop", "off" if lifecycle.idle_stop_s is None else format_duration(lifecycle.idle_stop_s)
    yield "lifecycle.start_after_boot", lifecycle.start_after_boot
    yield "lifecycle.keep_workspace_on_delete", lifecycle.keep_workspace_on_delete


def _money(config: Config) -> Iterator[tuple[str, Any]]:
    yield "billing.states", list(config.billing.states)
    yield "billing.currency", config.billing.currency
    for flavor, micros in config.billing.rates.items():
        yield f"billing.rates.{flavor}", f"{Decimal(micros) / MICROS:.6f}".rstrip("0").rstrip(".")


def _quota(config: Config) -> Iterator[tuple[str, Any]]:
    quota = config.quota
    yield "quota.gpus", quota.default.gpus
    yield "quota.notebooks", quota.default.notebooks
    yield "quota.gpu_minutes_month", quota.default.gpu_minutes_month
    for kind, overrides in (("user", quota.users), ("group", quota.groups)):
        for name, rule in overrides.items():
            yield f"quota.{kind}.{name}", _override(rule)


def _override(rule: QuotaOverride) -> dict[str, int]:
    values = ((each.name, getattr(rule, each.name)) for each in fields(rule))
    return {name: value for name, value in values if value is not None}


def _tables(config: Config) -> Iterator[tuple[str, Any]]:
    for name, rows in (
        ("datastore", [_datastore(each) for each in config.datastores]),
        ("flavor", [_flavor(each) for each in config.flavors]),
        ("image", [_image(each) for each in config.images.entries]),  # those added come first, see Images
    ):
        yield from ((f"{name}[{place}]", row) for place, row in enumerate(rows))


def _datastore(store: Datastore) -> dict[str, Any]:
    people: dict[str, Sequence[str]] = {"read": list(store.read), "write": list(store.write)}
    if isinstance(store, DirectoryDatastore):
        return {"alias": store.alias, "type": "directory", "path": str(store.path), **people}
    return {"alias": store.alias, "type": "rclone", "remote": store.remote, "config": str(store.config), **people}


def _flavor(flavor: FlavorOverride) -> dict[str, Any]:
    sizes = {"memory": flavor.memory_bytes, "shm": flavor.shm_bytes}
    shown = {"description": flavor.description, "cpus": flavor.cpus, "max": flavor.max_units}
    shown |= {name: None if size is None else format_size(size) for name, size in sizes.items()}
    return {
        "id": flavor.id,
        "default": flavor.default,
        "groups": list(flavor.groups),
        **{key: each for key, each in shown.items() if each is not None},
    }


def _image(entry: CatalogueEntry) -> dict[str, Any]:
    return {
        "editor": entry.editor,
        "framework": entry.framework,
        "version": entry.version,
        "image": entry.image,
        "command": list(entry.command),
        "uid": entry.uid,
        "probe": entry.probe,
        "activity": entry.activity,
        "saved_paths": list(entry.saved_paths),
        "labels": dict(entry.labels),
        **({} if entry.deprecated is None else {"deprecated": entry.deprecated}),
    }
