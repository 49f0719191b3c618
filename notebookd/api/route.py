# SPDX-License-Identifier: Apache-2.0
"""What the route table says of a route: who may, what answers, what goes in and what comes out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from notebookd import wire
from notebookd.api.call import Access, Handler
from notebookd.api.media import STREAMED


@dataclass(frozen=True, slots=True)
class Param:
    """A field of the query, or a header, that a route reads. ``shape`` is a type as msgspec describes it; a list is a
    field that may be there several times."""

    name: str
    shape: Any
    about: str
    header: bool = False
    required: bool = False


@dataclass(frozen=True, slots=True)
class Media:
    """A body that is not, or not always, JSON: its shapes by content type. ``str`` is text, ``bytes`` is data."""

    shapes: Mapping[str, Any]


UPGRADE = Media({})
"""What a route gives that goes on in another protocol: 101."""


class Route(NamedTuple):
    """A verb, a path, who may, what answers, and what it is called; then what is true of it, for its description.

    ``operation`` names the act, as generators of clients name their functions: it never changes.

    ``takes`` is the shape that decodes the body (or what streams in, which has no bounds), ``gives`` the one that the
    answer is encoded from (None: 204, no body), ``reads`` what is read of the query and the headers. ``refuses`` holds
    the statuses of errors beside those that follow from the rest, see :attr:`errors`. ``ours`` marks what the OVHcloud
    AI API does not have.
    """

    method: str
    path: str
    access: Access
    handler: Handler
    operation: str
    summary: str
    takes: type[wire.Request] | Media | None = None
    gives: Any = None
    reads: tuple[Param, ...] = ()
    refuses: tuple[int, ...] = ()
    ours: bool = False
    tagged: bool = False
    """Whether the answer bears an ETag."""
    does: str = ""
    """What whoever is refused may not do, where the summary does not begin with it."""

    @property
    def deed(self) -> str:
        """What it does, in words that follow "cannot"."""
        first = re.split("[,;]", self.summary)[0]
        return self.does or f"{first[0].lower()}{first[1:]}"

    @property
    def success(self) -> int:
        """The status of an answer that is no error."""
        return 204 if self.gives is None else 101 if self.gives is UPGRADE else 200

    @property
    def has_head(self) -> bool:
        """Whether HEAD is served: not where an answer is a stream, which may have no end, or a protocol."""
        streams = isinstance(self.gives, Media) and bool(STREAMED & {*self.gives.shapes})
        return self.method == "GET" and not streams

    @property
    def errors(self) -> tuple[int, ...]:
        """Every status of an error: whoever asks may be refused, and what the daemon stands on may be away."""
        found = {401, 403, 500, 503, *self.refuses}
        found |= {404} if "{" in self.path else set()
        found |= {400} if self.takes else set()
        found |= {413} if self.takes and not isinstance(self.takes, Media) else set()
        found |= {400} if self.reads else set()
        return tuple(sorted(found))
