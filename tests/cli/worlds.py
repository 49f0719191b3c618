# SPDX-License-Identifier: Apache-2.0
"""What the toy has to tell: bodies in the daemon's shapes."""

from __future__ import annotations

from notebookd import wire
from notebookd.wire import answers

A = "0aaaaaaa-0000-4000-8000-000000000001"
B = "0abbbbbb-0000-4000-8000-000000000002"
C = "0ccccccc-0000-4000-8000-000000000003"


def notebook(identity=A, name="calm", state="RUNNING", *, user="alice", gpu=1, history=(), info=None):
    """A notebook, as the daemon writes it."""
    job = wire.JobStatus(
        state=history[-1][0] if history else state,
        history=[wire.JobStateHistory(date=date, state=step) for step, date in history],
        queued_at="2026-11-22T17:00:00.000Z",
        duration=10,
        timeout_at="2026-11-29T19:30:00.000Z",
    )
    value = wire.Notebook(
        id=identity,
        created_at="2026-11-22T17:00:00.000Z",
        updated_at="2026-11-22T17:00:01.000Z",
        user=user,
        spec=wire.Spec(
            env=answers.NotebookEnv(editor_id="jupyterlab", framework_id="conda", framework_version="py311"),
            resources=answers.Resources(
                gpu=gpu, flavor="h100-1-gpu", gpu_brand="NVIDIA", gpu_model="H100", memory=2**36
            )
            if gpu
            else answers.Resources(cpu=2, memory=2**32),
            name=name,
            labels={"team": "vision"},
            volumes=[
                answers.Volume(
                    mount_path="/data",
                    permission="RO",
                    cache=False,
                    data_store=answers.DataStoreSource(alias="DATA", container="sets", prefix="a"),
                )
            ],
        ),
        status=wire.NotebookStatus(
            state=state,
            url=f"http://{identity}.localhost:8421/",
            last_job_status=job,
            info=wire.Info(code="JOB_X", message=info) if info else wire.UNSET,
            workspace=wire.Workspace(storage_free=2**40, storage_used=2**20),
        ),
    )
    return wire.encode(value)


def page(*notebooks, number=1, pages=1):
    """A page of the list."""
    return (
        b'{"items":[' + b",".join(notebooks) + b'],"metadata":'
        b'{"currentPage":%d,"pageCount":%d,"total":%d,"links":{}}}' % (number, pages, len(notebooks))
    )


def me(name="alice", role="ai_training_operator"):
    """Who one is."""
    return wire.encode(
        wire.Me(name=name, role=role, tenant=C, quotas=wire.Quotas(resources={"CPU": 8, "GPU": 4}, storage=2**40))
    )


def access(identity=A):
    """The way in."""
    url = f"http://{identity}.localhost:8421/?token=secret"
    return wire.encode(wire.Access(url=url, token="secret"))


GPUS = wire.encode(
    wire.GpuList(
        items=[
            wire.Gpu(
                uuid="GPU-1",
                index=0,
                name="NVIDIA H100",
                memory=wire.GpuMemory(total=85899345920, used=1073741824),
                utilisation=37,
                temperature=51,
                power=312.4,
                state="leased",
                drained=True,
                foreign=False,
                lease=wire.GpuLease(
                    notebook=A, owner="alice", since="2026-11-22T17:00:00.000Z", free_at="2026-11-29T19:30:00.000Z"
                ),
                processes=[wire.GpuProcess(pid=7, user="alice", command="pyt\x1b[31mhon", memory=1, notebook=A)],
                health=wire.GpuHealth(status="ok"),
            ),
            wire.Gpu(
                uuid="GPU-2",
                index=1,
                name="NVIDIA H100",
                memory=None,
                utilisation=None,
                temperature=None,
                power=None,
                state="lost",
                drained=False,
                foreign=False,
                lease=None,
                processes=[],
                health=wire.GpuHealth(status="lost"),
            ),
        ]
    )
)
QUEUE = wire.encode(
    wire.Queue(
        items=[
            wire.QueueEntry(
                notebook=A,
                name="calm",
                owner="alice",
                position=1,
                asks_for=answers.Resources(gpu=2, flavor="h100-1-gpu"),
                waits_for="2 GPUs of flavor h100-1-gpu, 0 are free",
                latest_start_at="2026-11-29T19:30:00.000Z",
                queued_at="2026-11-22T17:00:00.000Z",
            )
        ]
    )
)
WHY = wire.encode(
    wire.Why(
        notebook=A,
        state="RUNNING",
        sentences=["It runs since 17:00.", "It stops on 2026-11-29 at 19:30."],
        deadlines=[
            wire.Deadline(reason="timeout", at="2026-11-29T19:30:00.000Z", why="max_running", moved_by="extend")
        ],
    )
)
FLAVORS = wire.encode(
    [
        wire.Flavor(
            id="h100-1-gpu",
            type="gpu",
            description="NVIDIA H100",
            default=True,
            max_=4,
            free=3,
            resources_per_unit=wire.ResourcesPerUnit(cpu=8, memory=2**36, ephemeral_storage=2**37),
            gpu_information=wire.GpuInformation(gpu_brand="NVIDIA", gpu_model="H100", gpu_memory=85899345920),
        ),
        wire.Flavor(
            id="cpu",
            type="cpu",
            description="CPUs",
            default=False,
            max_=16,
            free=16,
            resources_per_unit=wire.ResourcesPerUnit(cpu=1, memory=2**32, ephemeral_storage=2**33),
        ),
    ]
)
FRAMEWORKS = wire.encode([wire.Framework(id="conda", name="Conda", description="Python", versions=["py312", "py311"])])
EDITORS = wire.encode([wire.Editor(id="jupyterlab", name="JupyterLab", description="Notebooks")])
QUOTAS = wire.encode([wire.Quotas(resources={"CPU": 8, "GPU": 4}, storage=2**40)])
LOG = {
    "lastActivity": "2026-11-22T17:00:02.000Z",
    "logs": [
        {"timestamp": "2026-11-22T17:00:01.000Z", "content": "hello"},
        {"timestamp": "2026-11-22T17:00:02.000Z", "content": "world"},
    ],
}
EVENTS = [
    {"id": 8, "at": "2026-11-22T17:00:01.000Z", "actor": "alice", "type": "notebook.created", "notebook": A},
    {
        "id": 9,
        "at": "2026-11-22T17:00:02.000Z",
        "actor": "notebookd",
        "type": "run.state",
        "notebook": A,
        "before": "STARTING",
        "after": "RUNNING",
    },
]
GIB = 2**30
# What moves a cursor, names a window, turns the direction of writing.
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\r\n"


def gpu(index, state, *, used=0.0, utilisation=0, temperature=35, power=60.0, lease=None, processes=(), **more):
    """A GPU of the workstation below."""
    return wire.Gpu(
        uuid=f"GPU-{index:08x}-0000-0000-0000-000000000000",
        index=index,
        name="NVIDIA H100 80GB HBM3",
        memory=wire.GpuMemory(total=80 * GIB, used=int(used * GIB)),
        utilisation=utilisation,
        temperature=temperature,
        power=power,
        state=state,
        drained=more.get("drained", False),
        foreign=more.get("foreign", False),
        lease=lease,
        processes=list(processes),
        health=more.get("health", wire.GpuHealth(status="ok")),
        pci_bus_id=f"00000000:{index + 1:02X}:00.0",
    )


def lease(notebook, owner, name=wire.UNSET):
    """A lease until the end of November."""
    return wire.GpuLease(
        notebook=notebook, owner=owner, name=name, since="2026-11-22T17:00:00.000Z", free_at="2026-11-29T19:30:00.000Z"
    )


def board(*gpus, trouble=wire.UNSET):
    """A board of these GPUs."""
    return wire.encode(wire.GpuList(items=list(gpus), trouble=trouble))


def hostile_board():
    """A board that whoever may name a program, a notebook or a GPU wrote."""
    process = wire.GpuProcess(pid=1, user=HOSTILE, command=HOSTILE, memory=1, notebook=None)
    health = wire.GpuHealth(status=HOSTILE, message=HOSTILE, at=HOSTILE, notebook=HOSTILE, xid=79)
    bad = gpu(0, HOSTILE, lease=lease(A, HOSTILE, HOSTILE), processes=[process], health=health)
    return board(bad, trouble=HOSTILE)


# A workstation with everything on it: a busy GPU, one shared with a stranger, one taken by one, a sick one, a free one.
STATION = wire.encode(
    wire.GpuList(
        items=[
            gpu(0, "leased", used=61.2, utilisation=97, temperature=71, power=612.4, lease=lease(A, "alice", "calm")),
            gpu(
                1,
                "leased",
                used=42.5,
                utilisation=54,
                temperature=84,
                power=388,
                lease=lease(C, "carol", "gentle"),
                foreign=True,
                processes=[
                    wire.GpuProcess(pid=4242, user="bob", command="python train.py", memory=30 * GIB, notebook=None),
                    wire.GpuProcess(pid=77, user="notebookd", command="python", memory=12 * GIB, notebook=C),
                ],
            ),
            gpu(
                2,
                "foreign",
                used=3.5,
                utilisation=3,
                foreign=True,
                processes=[wire.GpuProcess(pid=9, user="bob", command="blender", memory=None, notebook=None)],
            ),
            gpu(
                3,
                "quarantined",
                health=wire.GpuHealth(
                    status="quarantined",
                    xid=79,
                    at="2026-11-22T19:02:03.000Z",
                    notebook=A,
                    message="GPU has fallen off the bus",
                ),
            ),
            gpu(4, "drained", drained=True),
            gpu(5, "free"),
        ]
    )
)
WAITING = wire.encode(
    wire.Queue(
        items=[
            wire.QueueEntry(
                notebook=B,
                name="brave",
                owner="alice",
                position=1,
                asks_for=answers.Resources(gpu=4, flavor="h100-1-gpu"),
                waits_for="gpu: 4 GPUs of its flavor to be free at once",
                latest_start_at="2026-11-22T22:05:00.000Z",
                queued_at="2026-11-22T19:00:00.000Z",
            )
        ]
    )
)
HEALTH = wire.encode(
    wire.Health(
        status="ok",
        version="0.1.0",
        dependencies={name: wire.Dependency(status="ok") for name in ("store", "engine", "gpus")},
    )
)
LOADS = wire.encode(
    wire.LoadList(
        items=[wire.Load(notebook=A, cpus=7.94, memory=41 * GIB), wire.Load(notebook=C, cpus=0.02, memory=700 * 2**20)]
    )
)
