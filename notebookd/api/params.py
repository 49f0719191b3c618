# SPDX-License-Identifier: Apache-2.0
"""What routes read of queries and headers, for the route table."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from notebookd.api.route import Param
from notebookd.config.images import LONGEST_REFERENCE, REFERENCE
from notebookd.domain.run import NotebookState
from notebookd.domain.spec import LABEL_KEY
from notebookd.domain.usage import LABEL, GroupKey
from notebookd.neutral import STEERING
from notebookd.service.gpus import LONGEST_REASON

_MAX_INT = 2**53
_Flag = bool | Literal["", "0", "1"]
_Page = Annotated[int, Meta(ge=1, le=10**9)]
_Size = Annotated[int, Meta(ge=1, le=1000)]
_EventId = Annotated[int, Meta(ge=0, le=_MAX_INT)]
_Limit = Annotated[int, Meta(ge=1, le=100_000)]
_Run = Annotated[int, Meta(ge=1, le=_MAX_INT)]
_Tail = Annotated[int, Meta(ge=0, le=1_000_000)]
_Selector = Annotated[str, Meta(pattern="^[^=]+=")]
# As notebookd.service.archives has it: without `..` and NUL; what is written to is relative or in /workspace.
_PLAIN = r"(?!([\s\S]*/)?\.\.(/|$))[^\x00]*$"
_Path = Annotated[str, Meta(max_length=4096, pattern=f"^{_PLAIN}")]
_Target = Annotated[str, Meta(max_length=4096, pattern=rf"^(?!/(?!(\.?/)*workspace(?![^/]))){_PLAIN}")]
_Key = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[\x20-\x7e]+$")]
_Reason = Annotated[str, Meta(max_length=LONGEST_REASON, pattern=f"^[^{STEERING}]*$")]
_GROUP = f" *({'|'.join(GroupKey)}|{LABEL}{LABEL_KEY.pattern})? *"
_Groups = Annotated[str, Meta(pattern=f"^{_GROUP}(,{_GROUP})*$")]
_Image = Annotated[str, Meta(max_length=LONGEST_REFERENCE, pattern=f"^{REFERENCE}$")]
_State: Any = Literal[tuple(map(str, NotebookState))]
_LABELS = (
    "That is the value that the notebook had when the run ended, or has now while the run goes on: a new label changes "
    "nothing of runs that are over. By labels every run of the time is read, so a long time takes longer"
)
_MOMENT = "Unix seconds, an RFC 3339 time, or a duration back from now (`2h`)"
_SECONDS = {"pattern": r"^[0-9]{1,11}(\.[0-9]{1,6})?$"}
_DURATION = {"pattern": "^[1-9][0-9]{0,2}[smhd]$"}
_DAY = {"format": "date"}
_TIME = {"format": "date-time"}
_Moment = Annotated[str, Meta(extra_json_schema={"anyOf": [_SECONDS, _DURATION, _TIME]})]
_Instant = Annotated[str, Meta(extra_json_schema={"anyOf": [_DAY, _TIME]})]

_PAGE = Param("page", _Page, "which page, from 1")
_SIZE = Param("size", _Size, "how many on a page; 100 without")

TOKENS = (_PAGE, _SIZE)
NOTEBOOKS = (
    _PAGE,
    _SIZE,
    Param("sort", Literal["createdAt", "updatedAt", "status.state", "spec.name", "id"], "by what; `createdAt` without"),
    Param("order", Literal["asc", "desc"], "`asc` without"),
    Param("updatedAfter", _Moment, f"changed after: {_MOMENT}"),
    Param("updatedBefore", _Moment, f"changed before: {_MOMENT}"),
    Param("statusState", list[_State], "in one of these states"),
    Param("userName", str, "of this owner; for admins"),
    Param("labelSelector", list[_Selector], "bearing this label, `key=value`; with several, all of them"),
    Param("withSpark", str, "accepted, means nothing here"),
)
IDEMPOTENCY = (
    Param(
        "Idempotency-Key", _Key, "a name for this request: within 24 h a repetition gives the first answer", header=True
    ),
)
IF_MATCH = (Param("If-Match", str, "the ETag that must still be current, else 412", header=True),)
FORCE = (Param("force", _Flag, "also when it is active; nothing is pushed then"),)
LOG = (
    Param("since", _Moment, f"not before: {_MOMENT}"),
    Param("tail", _Tail, "at most so many of the last lines"),
    Param("follow", _Flag, "go on as JSON lines until the run ends"),
)
EXEC = (
    Param("command", list[str], "the words of the command", required=True),
    Param("env", list[str], "a variable for it, `K=V`; with several, all of them"),
    Param("workingDir", str, "the folder that it runs in, an absolute path"),
    Param("stdin", _Flag, "whether there is input"),
    Param("stdout", str, "accepted: output is always sent"),
    Param("stderr", str, "accepted: output is always sent"),
    Param("tty", _Flag, "whether in a terminal"),
)
EVENTS = (
    Param("after", _EventId, "those with greater ids"),
    Param("since", _Moment, f"not before: {_MOMENT}"),
    Param("type", list[str], "of this type, or of those that begin with it and a dot; with several, of any"),
    Param("limit", _Limit, "at most so many of the newest"),
    Param("follow", _Flag, "go on as they happen"),
    Param("notebook", str, "of this notebook"),
)
IMAGE = (Param("name", _Image, "the image's name, or its digest", required=True),)
RECEIPT = (Param("run", _Run, "of the run with this number; of the latest without"),)
USAGE = (
    Param("from", _Instant, "a day (`2026-11-01`, UTC) or an RFC 3339 time; without, the month in which `to` lies"),
    Param("to", _Instant, "likewise; without, the end of this month"),
    Param(
        "groupBy",
        _Groups,
        f"by what, in this order, with commas: {', '.join(GroupKey)}, or `{LABEL}NAME`, a label's value. {_LABELS}",
    ),
    Param("format", Literal["json", "csv"], "`json` without"),
    Param("user", str, "of this user; for admins"),
)
BACKUPS = (
    _PAGE,
    _SIZE,
    Param("sort", Literal["createdAt", "updatedAt", "backupDate", "id"], "by what; `createdAt` without"),
    Param("order", Literal["asc", "desc"], "`desc` without"),
    Param("updatedAfter", _Moment, f"taken after: {_MOMENT}"),
    Param("updatedBefore", _Moment, f"taken before: {_MOMENT}"),
)
ARCHIVE = (Param("path", _Path, "below `/workspace`, or absolute, there or in a copied volume; all of it without"),)
ARCHIVE_INTO = (Param("path", _Target, "below `/workspace`; all of it without"),)
ARCHIVE_WITHOUT = (Param("path", _Target, "what goes, below `/workspace`"),)
OBJECTS = (Param("prefix", str, "what the objects' paths begin with, the container first"),)
DRAIN = (Param("reason", _Reason, "why, in one line, for everybody to read"),)
DISCARD = (Param("discard", _Flag, "give up local copies that could not be carried back, or brought up to date"),)
NOW = (Param("now", _Flag, "wait for no data: no snapshot, and what was not carried back stays here"),)
FRAMEWORK = (Param("compatibleWithFramework", str, "that go with this framework"),)
EDITOR = (Param("compatibleWithEditor", str, "that go with this editor"),)
