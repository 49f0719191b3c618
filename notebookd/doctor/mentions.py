# SPDX-License-Identifier: Apache-2.0
"""Whether what the configuration names is there: accounts, groups, flavors, folders and files."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

from notebookd.config.mentions import Kind, Mention, absent_words, mentions_of
from notebookd.doctor.finding import Finding, warn
from notebookd.doctor.machine import Patient, get_over_socket

_PEOPLE = frozenset({Kind.USER, Kind.GROUP, Kind.FLAVOR})


def check_mentions(patient: Patient) -> Iterator[Finding]:
    """Whom limits, rates and datastores are for is there. Other checks look at the folders and at the API's groups."""
    mine = [each for each in mentions_of(patient.config) if each.kind in _PEOPLE and not each.key.startswith("api.")]
    yield from _absent(patient, mine)


def check_every_mention(patient: Patient) -> Iterator[Finding]:
    """The same of all that is named, for who looks at nothing else."""
    yield from _absent(patient, mentions_of(patient.config))


def _absent(patient: Patient, mentions: tuple[Mention, ...] | list[Mention]) -> Iterator[Finding]:
    named = any(each.kind is Kind.FLAVOR for each in mentions)
    flavors = _flavors(patient) if named else None
    for each in mentions:
        if not _is_there(patient, each, flavors):
            said, hint = absent_words(each, flavors or () if each.kind is Kind.FLAVOR else ())
            yield warn("configuration", f"{each.key}: {said}", hint)


def _flavors(patient: Patient) -> frozenset[str] | None:
    """What the daemon offers; None where it cannot be asked: with it down nobody knows the flavors."""
    try:
        status, body = get_over_socket(patient.config.api.socket, "/v1/capabilities/flavor")
        return frozenset(str(each["id"]) for each in json.loads(body)) if status == http.client.OK else None
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None


def _is_there(patient: Patient, mention: Mention, flavors: frozenset[str] | None) -> bool:
    """Whether it is, or cannot be looked at."""
    machine, name = patient.machine, mention.name
    match mention.kind:
        case Kind.USER:
            return "\\x" in name or machine.has_account(name)  # bytes that are no text: the daemon looks
        case Kind.GROUP:
            return "\\x" in name or machine.group_members(name) is not None
        case Kind.FLAVOR:
            return flavors is None or name in flavors
    try:
        (machine.root / name.lstrip("/")).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True
