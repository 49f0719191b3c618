# SPDX-License-Identifier: Apache-2.0
"""What a configuration that was read again may change in a daemon that runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from notebookd.config.effective import settings_of
from notebookd.config.shape import Config


def reloaded(running: Config, fresh: Config) -> Config:
    """What a daemon that runs on ``running`` goes on with: of ``fresh`` all that can change under notebooks that run,
    the rest as it is."""
    gpus = fresh.gpus
    return replace(
        running,
        given=fresh.given,
        gpus=replace(
            running.gpus,
            foreign_memory_bytes=gpus.foreign_memory_bytes,
            ignore_processes=gpus.ignore_processes,
            xid=gpus.xid,
            leftover_memory_bytes=gpus.leftover_memory_bytes,
            lease_leftover=gpus.lease_leftover,
            poll_s=gpus.poll_s,
        ),
        lifecycle=fresh.lifecycle,
        billing=replace(running.billing, rates=fresh.billing.rates),
        quota=fresh.quota,
        images=fresh.images,
        recipes=fresh.recipes,
        flavors=fresh.flavors,
        datastores=fresh.datastores,
        transfers=fresh.transfers,
        snapshots=replace(
            running.snapshots,
            at_stop=fresh.snapshots.at_stop,
            exclude_caches=fresh.snapshots.exclude_caches,
            keep=fresh.snapshots.keep,
        ),
        workspace=fresh.workspace,
        surroundings=fresh.surroundings,
        events=fresh.events,
        store=replace(
            running.store,
            min_free_bytes=fresh.store.min_free_bytes,
            min_free_inodes=fresh.store.min_free_inodes,
        ),
    )


def differences(one: Config, other: Config) -> tuple[str, ...]:
    """The keys whose values are not the same in both."""
    left, right = _values(one), _values(other)
    return tuple(key for key in (left | right) if left.get(key) != right.get(key))


def _values(config: Config) -> dict[str, Any]:
    shown = {each.key: each.value for each in settings_of(config)}
    return shown | {"editor": config.images.editors, "framework": config.images.frameworks}
