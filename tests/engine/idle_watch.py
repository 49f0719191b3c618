# SPDX-License-Identifier: Apache-2.0
"""Looks at a notebook with the real adapters for a while, as the daemon's account; prints the last verdict as JSON.

``python -c THIS EDITORS ACTIVITY NOTEBOOK WINDOW_S SECONDS``. The notebook counts as started when the watch begins.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from notebookd.adapters.clock import SystemClock
from notebookd.adapters.editor import SocketEditor
from notebookd.adapters.gateway_activity import GatewayNotes
from notebookd.domain.activity import ActivityApi, GpuLoad, Moment, Signals
from notebookd.domain.idleness import IdleRecord, IdleRule, Since, look
from notebookd.domain.ids import NotebookId
from notebookd.domain.observed import Known

LOOK_EVERY_S = 0.5


async def main(editors: str, activity: str, notebook: str, window_s: float, seconds: float) -> None:
    clock, editor, traffic = SystemClock(), SocketEditor(Path(editors)), GatewayNotes(Path(activity))
    notebook_id, record = NotebookId(notebook), IdleRecord()
    since = Since(moment=Moment(at=clock.now(), boot_s=clock.boottime()))
    while True:
        signals = Signals(
            browser=traffic.use(notebook_id),
            editor=await editor.activity(notebook_id, ActivityApi.JUPYTER),
            gpus=Known((GpuLoad(index=0, utilisation=0.0),)),
        )
        now = Moment(at=clock.now(), boot_s=clock.boottime())
        record, verdict = look(record, signals, IdleRule(window_s=window_s), since, now)
        if now.boot_s - since.moment.boot_s >= seconds:
            break
        await clock.sleep(LOOK_EVERY_S)
    seen = signals.editor.value if isinstance(signals.editor, Known) else None
    told = {
        "state": verdict.state,
        "reason": verdict.reason,
        "findings": {finding.signal: finding.state for finding in verdict.findings},
        "kernels": [[each.id, each.state, each.last_activity_at.isoformat()] for each in seen.kernels] if seen else [],
        "terminals": [[each.name, each.last_activity_at.isoformat()] for each in seen.terminals] if seen else [],
    }
    print(json.dumps(told))


asyncio.run(main(*sys.argv[1:4], *map(float, sys.argv[4:6])))
