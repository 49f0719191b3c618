# SPDX-License-Identifier: Apache-2.0
"""Changing a specification: what a change comes to, and whether the notebook must be stopped for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from notebookd.domain.notebook import NotebookSpec
from notebookd.domain.resources import Flavor
from notebookd.domain.spec import Fault, SpecWish, choose_resources, common_faults
from notebookd.domain.volumes import normalised

_ONLY_STOPPED = ("env_vars", "resources", "ssh_public_keys", "unsecure_http", "volumes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A change of a notebook: the fields of ``wish`` that are in ``given``; a given None resets its field."""

    wish: SpecWish
    given: frozenset[str]


def patched(
    stored: NotebookSpec, patch: Patch, flavors: Sequence[Flavor], git_schemes: Sequence[str] = ()
) -> tuple[NotebookSpec, list[Fault]]:
    """``stored`` with the change, and everything that is wrong with that."""
    wish, given = patch.wish, patch.given
    faults = [*_fixed_faults(stored, wish), *common_faults(wish, stored.labels, git_schemes)]
    spec = stored
    if "labels" in given:
        spec = replace(spec, labels=dict(wish.labels or {}))
    if "env_vars" in given:
        spec = replace(spec, env_vars=wish.env_vars or ())
    if "ssh_public_keys" in given:
        spec = replace(spec, ssh_public_keys=wish.ssh_public_keys or ())
    if "timeout_auto_restart" in given:
        spec = replace(spec, timeout_auto_restart=bool(wish.timeout_auto_restart))
    if "unsecure_http" in given:
        spec = replace(spec, unsecure_http=bool(wish.unsecure_http))
    if "volumes" in given:
        spec = replace(spec, volumes=tuple(map(normalised, wish.volumes or ())))
    if "resources" in given and wish.resources is not None:
        resources, wrong = choose_resources(wish.resources, flavors)
        faults += wrong
        spec = replace(spec, resources=resources) if resources is not None else spec
    return spec, faults


def _fixed_faults(stored: NotebookSpec, wish: SpecWish) -> Iterator[Fault]:
    """What is another value of something that never changes; the stored one may be repeated."""
    fixed = (
        ("$.env.editorId", wish.editor, stored.editor),
        ("$.env.frameworkId", wish.framework, stored.framework),
        ("$.env.frameworkVersion", wish.version, stored.framework_version),
    )
    for path, wished, value in fixed:
        if wished is not None and wished != value:
            yield Fault(path, "cannot be changed: make another notebook for it")
    if wish.name not in {None, stored.name}:
        yield Fault("$.name", "cannot be changed by this: `notebookctl rename` gives another name")


def needs_stop(stored: NotebookSpec, wanted: NotebookSpec) -> bool:
    """Whether the difference can only be had by a new container or lease."""
    return any(getattr(stored, name) != getattr(wanted, name) for name in _ONLY_STOPPED)
