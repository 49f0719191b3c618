# SPDX-License-Identifier: Apache-2.0
"""What all shapes have in common: camelCase names, absent values left out, and how time is written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

__all__ = ["Answer", "JobStateName", "Request", "StateName", "Time", "Uuid", "parse_rfc3339", "rfc3339"]

# What schemas say beyond what is decoded: answers are ours, and requests are checked where the meaning is known.

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Uuid = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
STATES = ("STARTING", "RUNNING", "RESTARTING", "STOPPING", "STOPPED", "FAILED", "ERROR", "SYNC_FAILED", "DELETING")
StateName = Annotated[str, Meta(extra_json_schema={"enum": list(STATES)})]
JOB_STATES = (
    *("QUEUED", "INITIALIZING", "PENDING", "RUNNING", "RESTARTING", "INTERRUPTING", "FINALIZING"),
    *("DONE", "INTERRUPTED", "TIMEOUT", "FAILED", "ERROR", "SYNC_FAILED"),
)
JobStateName = Annotated[str, Meta(extra_json_schema={"enum": list(JOB_STATES)})]


class Request(
    msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True, frozen=True, forbid_unknown_fields=True
):
    """Base of what callers send: a field that we do not know is a fault, so that no typing error passes silently."""


class Answer(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True, frozen=True):
    """Base of what the daemon sends. A reader skips what it does not know, so an older client reads a newer daemon."""


def rfc3339(at: datetime) -> str:
    """Write an aware time as RFC 3339 in UTC with milliseconds and ``Z``. A naive time is a ``ValueError``."""
    if at.tzinfo is None:
        raise ValueError("cannot write a time that has no time zone")
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime:
    """Read an RFC 3339 time, as an aware ``datetime`` in UTC. A text that is none is a ``ValueError``."""
    try:
        at = msgspec.convert(text, datetime)
    except msgspec.ValidationError as error:
        raise ValueError(f"cannot read the time {text!r}: {error}") from error
    if at.tzinfo is None:
        raise ValueError(f"cannot read the time {text!r}: it has no time zone")
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"cannot read the time {text!r}: it is beyond all calendars in UTC") from error
