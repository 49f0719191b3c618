# SPDX-License-Identifier: Apache-2.0
"""What routes read of queries and headers, for the route table."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from notebookd.api.route import Param
from notebookd.domain.run import NotebookState
from notebookd.domain.usage import GroupKey

_MAX_INT = 2**53
_Page = Annotated[int, Meta(ge=1, le=10**9)]
_Size = Annotated[int, Meta(ge=1, le=1000)]
_EventId = Annotated[int, Meta(ge=0, le=_MAX_INT)]
_Run = Annotated[int, Meta(ge=1, le=_MAX_INT)]
_Tail = Annotated[int, Meta(ge=0, le=1_000_000)]
_Selector = Annotated[str, Meta(pattern="^[^=]+=")]
_Key = Annotated[str, Meta(min_length=1, max_length=255)]
_Groups = Annotated[str, Meta(pattern=f"^({'|'.join(GroupKey)})(,({'|'.join(GroupKey)}))*$")]
_State: Any = Literal[tuple(map(str, NotebookState))]
_MOMENT = "Unix seconds, an RFC 3339 time, or a duration back from now (`2h`)"

_PAGE = Param("page", _Page, "which page, from 1")
_SIZE = Param("size", _Size, "how many on a page; 100 without")

TOKENS = (_PAGE, _SIZE)
NOTEBOOKS = (
    _PAGE,
    _SIZE,
    Param("sort", Literal["createdAt", "updatedAt", "status.state", "spec.name", "id"], "by what; `createdAt` without"),
    Param("order", Literal["asc", "desc"], "`asc` without"),
    Param("updatedAfter", str, f"changed after: {_MOMENT}"),
    Param("updatedBefore", str, f"changed before: {_MOMENT}"),
    Param("statusState", list[_State], "in one of these states"),
    Param("userName", str, "of this owner; for admins"),
    Param("labelSelector", list[_Selector], "bearing this label, `key=value`; with several, all of them"),
    Param("withSpark", bool, "accepted, means nothing here"),
)
IDEMPOTENCY = (
    Param("Idempotency-Key", _Key, "a name for this request: within 24 h a repetition gives the first answer", True),
)
IF_MATCH = (Param("If-Match", str, "the ETag that must still be current, else 412", True),)
FORCE = (Param("force", bool, "also when it is active; nothing is pushed then"),)
LOG = (
    Param("since", str, f"not before: {_MOMENT}"),
    Param("tail", _Tail, "at most so many of the last lines"),
    Param("follow", bool, "go on as JSON lines until the run ends"),
)
EXEC = (
    Param("command", list[str], "the words of the command"),
    Param("stdin", bool, "whether there is input"),
    Param("stdout", bool, "accepted: output is always sent"),
    Param("stderr", bool, "accepted: output is always sent"),
    Param("tty", bool, "whether in a terminal"),
)
EVENTS = (
    Param("after", _EventId, "those with greater ids"),
    Param("follow", bool, "go on as they happen"),
    Param("notebook", str, "of this notebook"),
)
RECEIPT = (Param("run", _Run, "of the run with this number; of the latest without"),)
USAGE = (
    Param("from", str, "a day (`2026-11-01`, UTC) or an RFC 3339 time; without, the month in which `to` lies"),
    Param("to", str, "likewise; without, the end of this month"),
    Param("groupBy", _Groups, "by what, in this order, with commas"),
    Param("format", Literal["json", "csv"], "`json` without"),
    Param("user", str, "of this user; for admins"),
)
FRAMEWORK = (Param("compatibleWithFramework", str, "that go with this framework"),)
EDITOR = (Param("compatibleWithEditor", str, "that go with this editor"),)
