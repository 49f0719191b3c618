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
