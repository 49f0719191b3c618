# SPDX-License-Identifier: Apache-2.0
"""A workstation in the middle of a working day, as the screens show it: names of all lengths, every state, who waits,
what happened, a month's use."""

from __future__ import annotations

from notebookd import wire
from notebookd.wire import answers
from tests.cli import worlds
from tests.cli.worlds import A, B, C, me, notebook, page

D = "0ddddddd-0000-4000-8000-000000000004"
E = "0eeeeeee-0000-4000-8000-000000000005"
LONG = "segmentation-of-retina-scans-second-try-with-augmented-sets"
NOTEBOOKS = page(
    notebook(A, "calm"),
    notebook(B, "brave", "STARTING"),
    notebook(C, "gentle", user="carol", gpu=0),
    notebook(D, LONG, "STOPPED", user="maximiliane.oberhuber"),
    notebook(E, "übung-3", "FAILED", user="bob"),
)
WHY = wire.encode(
    wire.Why(
        notebook=B,
        state="STARTING",
        sentences=[
            "It is place 1 in the queue of flavor h100-1-gpu.",
            "It waits for 4 GPUs of its flavor to be free at once; 1 is free.",
            "calm of alice and gentle of carol hold 2, until 2026-11-29 at 19:30 at the latest. Then it starts.",
        ],
        deadlines=[
            wire.Deadline(
                reason="start timeout",
                at="2026-11-22T20:15:00.000Z",
                why="a start takes at most 15 minutes from the moment when it has its GPUs",
                moved_by="nothing",
            )
        ],
        waits_for=wire.QueueEntry(
            notebook=B,
            name="brave",
            owner="alice",
            position=1,
            asks_for=answers.Resources(gpu=4, flavor="h100-1-gpu"),
            waits_for="gpu: 4 GPUs of its flavor to be free at once",
            latest_start_at="2026-11-22T22:05:00.000Z",
            queued_at="2026-11-22T19:00:00.000Z",
        ),
    )
)
QUEUE = wire.encode(
    wire.Queue(
        items=[
            wire.QueueEntry(
                notebook=identity,
                name=name,
                owner=owner,
                position=position,
                asks_for=answers.Resources(gpu=gpus, flavor="h100-1-gpu"),
                waits_for=waits_for,
                latest_start_at=latest,
                queued_at="2026-11-22T19:00:00.000Z",
            )
            for position, (identity, name, owner, gpus, waits_for, latest) in enumerate(
                (
                    (
                        B,
                        "brave",
                        "alice",
                        4,
                        "gpu: 4 GPUs of its flavor to be free at once",
                        "2026-11-22T22:05:00.000Z",
                    ),
                    (D, LONG, "maximiliane.oberhuber", 1, "turn: those before it", "2026-11-29T19:30:00.000Z"),
                    (E, "übung-3", "bob", 1, "quota: bob holds 2 of 2 GPUs", None),
                ),
                start=1,
            )
        ]
    )
)


def _event(number, at, actor, kind, **more):
    return {"id": number, "at": f"2026-11-22T{at}.000Z", "actor": actor, "type": kind, **more}


EVENTS = [
    _event(1280, "17:00:01", "alice", "notebook.created", notebook=A),
    _event(1281, "17:00:02", "notebookd", "run.state", notebook=A, before="PENDING", after="RUNNING"),
    _event(1282, "17:40:11", "maximiliane.oberhuber", "notebook.deleted", notebook=D),
    _event(
        1283,
        "19:02:03",
        "notebookd",
        "gpu.quarantined",
        details={"gpu": "GPU-00000003-0000-0000-0000-000000000000", "xid": 79, "message": "GPU has fallen off the bus"},
    ),
    _event(
        1284,
        "19:10:30",
        "notebookd",
        "gpu.foreign",
        details={
            "gpu": "GPU-00000002-0000-0000-0000-000000000000",
            "processes": [{"user": "bob", "command": "blender --background scene.blend", "pid": 9}],
        },
    ),
    _event(1285, "19:30:00", "alice", "exec", notebook=A, details={"command": "nvidia-smi"}),
]


def _row(count, gpus, **more):
    return wire.UsageRow(
        minutes=wire.Minutes(unit="Minute", value=count),
        gpu_minutes=wire.Minutes(unit="Minute", value=count * gpus),
        leased_gpu_seconds=count * gpus * 61.0,
        **more,
    )


def _euros(micros):
    return wire.Price(currency="EUR", micros=micros)


def usage(*keys):
    """The month by those keys."""
    span = {"from_": "2026-11-01T00:00:00.000Z", "to": "2026-12-01T00:00:00.000Z"}
    busy = {"used_gpu_seconds": 120_000.0, "energy_joules": 90_000_000.0}
    if "day" in keys:
        rows = [
            _row(minutes, gpus, user=user, day=f"2026-11-{day:02}", flavor="h100-1-gpu")
            for day in range(2, 23)
            for user, gpus, minutes in (("alice", 1, 37 * day % 500), ("maximiliane.oberhuber", 4, 11 * day % 90))
            if day % 7 > 1
        ]
    else:
        rows = [
            _row(4320, 2, user="alice", flavor="h100-1-gpu", price=_euros(201_600_000), **busy),
            _row(600, 0, user="alice", flavor="cpu", price=_euros(1_000_000)),
            _row(540, 0, user="bob", flavor="cpu", price=_euros(1_200_000)),
            _row(61, 4, user="maximiliane.oberhuber", flavor="h100-1-gpu", price=_euros(25_200_000)),
        ]
    total = wire.UsageRow(
        minutes=wire.Minutes(unit="Minute", value=sum(row.minutes.value for row in rows)),
        gpu_minutes=wire.Minutes(unit="Minute", value=sum(row.gpu_minutes.value for row in rows)),
        leased_gpu_seconds=sum(row.leased_gpu_seconds for row in rows),
        price=_euros(229_000_000),
        **busy,
    )
    return wire.encode(wire.Usage(**span, group_by=list(keys), items=rows, totals=total))


HEALTH = wire.encode(
    wire.Health(
        status="degraded",
        version="0.1.0",
        dependencies={
            "store": wire.Dependency(status="ok"),
            "engine": wire.Dependency(status="ok"),
            "gateway": wire.Dependency(
                status="degraded",
                message="the gateway has not written what it carries for 40 s; nobody is stopped idle",
            ),
        },
    )
)


def furnish(toy):
    """Have the toy tell of it."""
    toy.on("GET /v1/me", me("root", "administrator"))
    toy.on("GET /v1/notebook", NOTEBOOKS)
    for body, identity in ((notebook(A, "calm", info="it is fine"), A), (notebook(B, "brave", "STARTING"), B)):
        toy.on(f"GET /v1/notebook/{identity}", body)
    toy.on(f"GET /v1/notebook/{B}/why", WHY)
    toy.on("GET /v1/queue", QUEUE)
    toy.on("GET /v1/event", EVENTS)
    toy.on("GET /v1/gpu", worlds.STATION)
    toy.on("GET /v1/load", worlds.LOADS)
    toy.on("GET /v1/health", HEALTH)
