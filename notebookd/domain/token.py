# SPDX-License-Identifier: Apache-2.0
"""App tokens: what a program shows instead of being somebody.

A token acts for the person who made it. Its value is a public id and a random secret of 256 bits, and only its SHA-256
is kept: nothing that long can be guessed, so a slow hash would protect nothing more.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from notebookd.domain.idleness import IDLE_STOP_LABEL
from notebookd.domain.ids import TokenId
from notebookd.domain.spec import MAX_LABELS, Fault, label_fault

OPERATE: Final = "ai_training_operator"
READ: Final = "ai_training_read"
TOKEN_ROLES: Final = (OPERATE, READ)
SECRET_BYTES: Final = 32
MOST_TOKENS: Final = 100
"""How many one person may have."""

_ID_BYTES: Final = 16
_PREFIX: Final = "nbd_"
_VALUE: Final = re.compile(r"nbd_([A-Za-z0-9_-]{64})")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSelector:
    """A label that a notebook must bear."""

    name: str
    value: str

    def picks(self, labels: Mapping[str, str]) -> bool:
        """Whether a notebook with these labels is meant."""
        return labels.get(self.name) == self.value

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An app token as it is kept. ``digest`` is the SHA-256 of its value, in hex; ``version`` counts its values."""

    id: TokenId
    owner: str
    name: str
    role: str
    digest: str
    created_at: datetime
    updated_at: datetime
    selector: LabelSelector | None = None
    version: int = 1


def token_value(token_id: TokenId, secret: bytes) -> str:
    """The value that is shown once: 68 characters, known by their beginning. ``secret`` is random."""
    assert len(secret) == SECRET_BYTES
    return _PREFIX + base64.urlsafe_b64encode(uuid.UUID(token_id).bytes + secret).decode()


def digest_of(value: str) -> str:
    """What is kept of a value."""
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()


def named_by(value: str) -> TokenId | None:
    """Which token a value would be of; None where it is of none."""
    found = _VALUE.fullmatch(value)
    if found is None:
        return None
    return TokenId(str(uuid.UUID(bytes=base64.urlsafe_b64decode(found[1])[:_ID_BYTES])))


def is_value_of(value: str, token: Token) -> bool:
    """Whether this is the token's value now; takes as long for a near miss as for any other."""
    return hmac.compare_digest(digest_of(value), token.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWish:
    """What somebody asks for. ``selector`` is ``name=value``."""

    name: str
    role: str
    selector: str | None = None

    def faults(self) -> list[Fault]:
        """What is wrong with it."""
        found: list[Fault] = []
        if not _NAME.fullmatch(self.name):
            found.append(Fault("$.name", "a token's name is 1 to 63 characters of letters, digits and . _ -"))
        if self.role not in TOKEN_ROLES:
            found.append(Fault("$.role", f"must be one of {', '.join(TOKEN_ROLES)}"))
        fault = _selector_fault(self.selector) if self.selector else None
        if fault:
            found.append(Fault("$.labelSelector", fault))
        return found

    @property
    def label(self) -> LabelSelector | None:
        """The selector, of a wish without faults."""
        name, equals, value = (self.selector or "").partition("=")
        return LabelSelector(name=name, value=value) if equals else None


def _selector_fault(text: str) -> str | None:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        return "must be one label, name=value"
    if name == IDLE_STOP_LABEL:
        return "this label says how a notebook is run, not whose it is"
    return label_fault(name, value)


def labelled(labels: Mapping[str, str], selector: LabelSelector | None) -> dict[str, str] | Fault:
    """The labels that a notebook gets from whom only ``selector`` picks notebooks for: with that label, and the fault
    of labels that say otherwise."""
    if selector is None:
        return dict(labels)
    if labels.get(selector.name, selector.value) != selector.value:
        return Fault(f"$.labels.{selector.name}", f"the token is for notebooks with the label {selector}")
    bearing = {**labels, selector.name: selector.value}
    if len(bearing) > MAX_LABELS:
        return Fault("$.labels", f"at most {MAX_LABELS} labels, the token's among them")
    return bearing
