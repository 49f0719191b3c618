# SPDX-License-Identifier: Apache-2.0
"""What people are told to do about their data: all of it, and the states in which they are told.

A piece of advice names whole commands, and each of them works in the states of :attr:`Advice.given_in`:
``tests/api/test_advice.py`` brings every state about and runs every command.
"""

from __future__ import annotations

from dataclasses import dataclass

from notebookd.domain.run import NotebookState

_S = NotebookState


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A piece of advice. NOTEBOOK, /MOUNT and ALIAS in ``text`` stand for names."""

    text: str
    given_in: tuple[NotebookState, ...]

    def on(self, *, mount: str = "/MOUNT", alias: str = "ALIAS") -> str:
        """The text with a mount path and a datastore put in."""
        return self.text.replace("/MOUNT", mount).replace("ALIAS", alias)


UNPUSHED = Advice(
    text="`notebookctl push-data NOTEBOOK` tries again, `notebookctl cp NOTEBOOK:/MOUNT .` reads it, "
    "`notebookctl start --discard NOTEBOOK` gives it up",
    given_in=(_S.SYNC_FAILED,),
)
"""What could not be carried back is kept."""

WITHDRAWN = Advice(
    text="`notebookctl cp NOTEBOOK:/MOUNT .` reads what was not carried back, `notebookctl delete --force NOTEBOOK` "
    "gives it up with the notebook",
    given_in=(_S.SYNC_FAILED,),
)
"""The volume that was not carried back may no longer be had: nothing is pushed there, and no start brings it in."""

OTHER_VOLUMES = Advice(
    text="change its volumes: `notebookctl patch NOTEBOOK --remove-all-volumes`, or `--volume` for each one to have",
    given_in=(_S.STOPPED, _S.FAILED, _S.ERROR),
)
"""A volume may not be had, or does not fit where it is mounted."""

BEGIN_ANEW = Advice(
    text="`notebookctl cp NOTEBOOK:/MOUNT .` reads the copy that is here, `notebookctl start --discard NOTEBOOK` gives "
    "it up and takes what there is now",
    given_in=(_S.ERROR, _S.STOPPED),
)
"""The local copy cannot be brought up to date: only a new one will do."""

START_AGAIN = Advice(text="`notebookctl start NOTEBOOK` tries again", given_in=(_S.ERROR, _S.FAILED))
REPORT = Advice(text="`notebookctl bugreport` collects what is known of it", given_in=(_S.ERROR,))
OBJECTS = Advice(text="`notebookctl datastore objects ALIAS` shows what there is", given_in=(_S.FAILED,))
STOPPING = Advice(
    text="it still ends, and carries its data back: `notebookctl why NOTEBOOK` says how far, `notebookctl stop "
    "NOTEBOOK` waits for it, `notebookctl stop --now NOTEBOOK` gives it up",
    given_in=(_S.STOPPING,),
)
RUNNING_ONLY = Advice(
    text="its data comes in at each start and goes back at each stop: `notebookctl start NOTEBOOK`",
    given_in=(_S.STOPPED, _S.FAILED, _S.ERROR),
)
"""Nothing is pulled or pushed of a notebook that does not run."""

INSIDE = Advice(text="while it runs, `notebookctl exec NOTEBOOK -- ls /MOUNT` reaches it", given_in=(_S.RUNNING,))
"""What a stopped notebook does not have, and no copy is made of: scratch folders."""

EVERY = (UNPUSHED, WITHDRAWN, OTHER_VOLUMES, BEGIN_ANEW, START_AGAIN, REPORT, OBJECTS, STOPPING, RUNNING_ONLY, INSIDE)

STUCK = frozenset({"DATASYNC_NOT_FAST_FORWARD", "DATASYNC_DAMAGED"})
"""Info codes of a copy that no pull brings up to date."""


def about_pull(code: str, *, mount: str, alias: str | None) -> str:
    """What to do about a volume that did not come in at a start, by the info code of why."""
    if code in STUCK:
        return BEGIN_ANEW.on(mount=mount)
    match code:
        case "DATASYNC_SOURCE_NOT_FOUND" if alias is not None:
            return OBJECTS.on(alias=alias)
        case "DATASYNC_ACCESS_DENIED":
            return f"whose the data is, or an admin, can change that; then {START_AGAIN.text}"
        case "DATASYNC_SOURCE_NOT_FOUND" | "DATASYNC_INVALID_SOURCE" | "DATASYNC_TOO_LARGE":
            return OTHER_VOLUMES.text
        case "DATASYNC_ERROR":
            return REPORT.text
        case _:
            return START_AGAIN.text
