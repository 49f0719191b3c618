# SPDX-License-Identifier: Apache-2.0
"""From what crossed the wire to domain values, faults of shape and of meaning in one list."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec
from multidict import MultiMapping

from notebookd import wire
from notebookd.api.volume_wishes import read_volumes
from notebookd.domain.faults import invalid
from notebookd.domain.patch import Patch
from notebookd.domain.run import NotebookState
from notebookd.domain.spec import Fault, ResourceWish, SpecWish, env_faults
from notebookd.errors import InvalidRequest
from notebookd.ports.store import NotebookFilter
from notebookd.times import parse_duration

T = TypeVar("T", bound=msgspec.Struct)

SORTS = frozenset({"createdAt", "updatedAt", "status.state", "spec.name", "id"})
_LARGEST_PAGE = 1000
_MAX_INT = 2**53


def decode(shape: type[T], raw: bytes) -> tuple[T | None, list[Fault]]:
    """The body as far as it could be read, and its faults."""
    try:
        return wire.decode(shape, raw), []
    except wire.DecodeFaults as broken:
        return broken.partial, [Fault(fault.path, fault.message) for fault in broken.faults]


def require(shape: type[T], raw: bytes, what: str) -> T:
    """The body, or the refusal that names all its faults."""
    body, faults = decode(shape, raw)
    if body is None or faults:
        raise invalid(what, faults)
    return body


def spec_wish(body: wire.NotebookSpec, faults: list[Fault]) -> SpecWish:
    """What a create asks for; null is unset. What cannot be read of its volumes is added to ``faults``."""
    env = body.env if isinstance(body.env, wire.NotebookEnv) else None
    return SpecWish(
        editor=_given(env.editor_id) if env else None,
        framework=_given(env.framework_id) if env else None,
        version=_given(env.framework_version) if env else None,
        resources=_resource_wish(body.resources),
        name=_given(body.name),
        labels=_labels(body.labels),
        env_vars=_env_vars(body.env_vars),
        ssh_public_keys=_texts(body.ssh_public_keys),
        timeout_auto_restart=_given(body.timeout_auto_restart),
        unsecure_http=_given(body.unsecure_http),
        volumes=read_volumes(_given(body.volumes), faults),
    )


def patch(body: wire.NotebookPatch, faults: list[Fault]) -> Patch:
    """What an update asks for; a field that is there with null resets. What cannot be read of its volumes is added to
    ``faults``."""
    given = frozenset(name for name in body.__struct_fields__ if getattr(body, name) is not wire.UNSET)
    env = body.env if isinstance(body.env, wire.NotebookEnv) else None
    wish = SpecWish(
        editor=_given(env.editor_id) if env else None,
        framework=_given(env.framework_id) if env else None,
        version=_given(env.framework_version) if env else None,
        name=_given(body.name),
        env_vars=_env_vars(body.env_vars),
        resources=_resource_wish(body.resources) or (ResourceWish() if "resources" in given else None),
        labels=_labels(body.labels),
        ssh_public_keys=_texts(body.ssh_public_keys),
        timeout_auto_restart=_given(body.timeout_auto_restart),
        unsecure_http=_given(body.unsecure_http),
        volumes=read_volumes(_given(body.volumes), faults),
    )
    return Patch(wish=wish, given=given)


@dataclass(frozen=True, slots=True)
class Extension:
    """By how much, or until when, a deadline is to be moved: one of the two."""

    by: timedelta | None
    until: datetime | None


def extension(body: wire.ExtendRequest, what: str) -> Extension:
    """What an extension asks for."""
    duration, until = _given(body.duration), _given(body.until)
    if (duration is None) == (until is None):
        raise invalid(what, [Fault("$", "give a duration or until, one of the two")])
    try:
        if duration is not None:
            return Extension(timedelta(seconds=parse_duration(duration)), None)
        return Extension(None, wire.parse_rfc3339(until or ""))
    except ValueError as fault:
        raise invalid(what, [Fault("$.until" if duration is None else "$.duration", str(fault))]) from fault


V = TypeVar("V")


def _given(value: V | wire.UnsetType | None) -> V | None:
    return None if isinstance(value, wire.UnsetType) else value


def _resource_wish(asked: wire.Resources | wire.UnsetType | None) -> ResourceWish | None:
    if not isinstance(asked, wire.Resources):
        return None
    gpu, cpu = _given(asked.gpu), _given(asked.cpu)
    return ResourceWish(
        gpu=gpu,
        cpu=cpu,
        flavor=_given(asked.flavor) or None,
        memory=_given(asked.memory) or None,
        gpu_brand=_given(asked.gpu_brand) or None,
        gpu_model=_given(asked.gpu_model) or None,
        gpu_memory=_given(asked.gpu_memory) or None,
        ephemeral_storage=_given(asked.ephemeral_storage) or None,
        private_network=_given(asked.private_network) or None,
        public_network=_given(asked.public_network) or None,
    )


def _labels(labels: dict[str, str | None] | wire.UnsetType | None) -> dict[str, str] | None:
    kept = _given(labels)
    return None if kept is None else {key: value for key, value in kept.items() if value}


def _env_vars(pairs: list[wire.EnvVar] | wire.UnsetType | None) -> tuple[tuple[str, str], ...] | None:
    kept = _given(pairs)
    if kept is None:
        return None
    whole = [pair for pair in kept if isinstance(pair, wire.EnvVar)]
    return tuple(
        (pair.name, pair.value) for pair in whole if isinstance(pair.name, str) and isinstance(pair.value, str)
    )


def _texts(texts: list[str] | wire.UnsetType | None) -> tuple[str, ...] | None:
    kept = _given(texts)
    return None if kept is None else tuple(text for text in kept if isinstance(text, str))


class Query:
    """The query of a URL, read field by field; :meth:`done` refuses with every fault at once."""

    def __init__(self, values: MultiMapping[str], what: str) -> None:
        self._values = values
        self._what = what
        self.faults: list[Fault] = []

    def integer(self, name: str, default: int, *, least: int, most: int = _MAX_INT) -> int:
        """A whole number within bounds."""
        text = self._values.get(name)
        if text is None:
            return default
        if not text.removeprefix("-").isdecimal() or len(text) > 16 or not least <= int(text) <= most:
            self.faults.append(Fault(f"$query.{name}", f"must be a whole number from {least} to {most}"))
            return default
        return int(text)

    def flag(self, name: str) -> bool:
        """``true``, ``1`` or an empty value; absent and everything else that is no word for yes is no."""
        text = self._values.get(name)
        if text is None or text.lower() in {"false", "0"}:
            return False
        if text.lower() not in {"true", "1", ""}:
            self.faults.append(Fault(f"$query.{name}", "must be true or false"))
        return True

    def choice(self, name: str, default: str, among: frozenset[str]) -> str:
        """One of a few words."""
        text = self._values.get(name, default)
        if text not in among:
            self.faults.append(Fault(f"$query.{name}", f"must be one of {', '.join(sorted(among))}"))
            return default
        return text

    def moment(self, name: str, now: datetime) -> datetime | None:
        """A time: Unix seconds, RFC 3339, or a duration back from now."""
        text = self._values.get(name)
        if text is None:
            return None
        try:
            if text.removeprefix("-").replace(".", "", 1).isdecimal():
                return datetime.fromtimestamp(float(text), UTC)
            with suppress(ValueError):
                return now - timedelta(seconds=parse_duration(text))
            return wire.parse_rfc3339(text)
        except (ValueError, OverflowError, OSError):
            self.faults.append(Fault(f"$query.{name}", "must be Unix seconds, an RFC 3339 time or a duration"))
            return None

    def every(self, name: str) -> list[str]:
        """All values of a repeatable field."""
        return list(self._values.getall(name, []))

    def pairs(self, name: str) -> dict[str, str]:
        """The environment variables of a repeatable field, ``K=V`` each."""
        pairs = [(key, value) for key, _, value in (word.partition("=") for word in self.every(name))]
        if faults := list(env_faults(pairs, f"$query.{name}")):
            self.faults += faults
        return dict(pairs)

    def folder(self, name: str) -> str:
        """A folder of a notebook, by its absolute path; empty without."""
        text = (self.every(name) or [""])[-1]
        if text and (not text.startswith("/") or "\0" in text):
            self.faults.append(Fault(f"$query.{name}", "must be an absolute path"))
        return text

    def page(self) -> tuple[int, int]:
        """Which page of a list, from 1, and how many things are on one."""
        return self.integer("page", 1, least=1, most=10**9), self.integer("size", 100, least=1, most=_LARGEST_PAGE)

    def done(self) -> None:
        """Refuse, if there was any fault."""
        if self.faults:
            raise self.refused()

    def refused(self) -> InvalidRequest:
        """The refusal of all faults so far."""
        return invalid(self._what, self.faults)


def notebook_filter(values: MultiMapping[str], now: datetime) -> NotebookFilter:
    """What a list asks for. Raises InvalidRequest naming every fault."""
    query = Query(values, "list the notebooks")
    known = {str(state) for state in NotebookState}
    states = query.every("statusState")
    labels: list[tuple[str, str]] = []
    query.faults += [
        Fault("$query.statusState", f"there is no state {state}; there are {', '.join(sorted(known))}")
        for state in states
        if state not in known
    ]
    for selector in query.every("labelSelector"):
        key, equals, value = selector.partition("=")
        if not equals or not key:
            query.faults.append(Fault("$query.labelSelector", f"{selector!r} is not of the form key=value"))
        labels.append((key, value))
    page, size = query.page()
    wish = NotebookFilter(
        owner=values.get("userName"),
        states=tuple(NotebookState(state) for state in states if state in known),
        labels=labels,
        updated_after=query.moment("updatedAfter", now),
        updated_before=query.moment("updatedBefore", now),
        sort=query.choice("sort", "createdAt", SORTS),
        descending=query.choice("order", "asc", frozenset({"asc", "desc"})) == "desc",
        page=page,
        size=size,
    )
    query.done()
    return wish
