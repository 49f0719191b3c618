# SPDX-License-Identifier: Apache-2.0
"""Verbs about data: transfers, snapshots, datastores, and how waiting tells of them."""

from __future__ import annotations

import json

import msgspec
import pytest

from notebookd import wire
from notebookd.wire import answers
from tests.cli.fake_terminal import FakeTerminal
from tests.cli.worlds import A, B, C, access, notebook, page

GET = f"GET /v1/notebook/{A}"
SYNC = "0ddddddd-0000-4000-8000-000000000004"
OLD = "0eeeeeee-0000-4000-8000-000000000005"
MIB = 2**20
SETS = answers.Volume(
    mount_path="/data",
    permission="RW",
    cache=False,
    data_store=answers.DataStoreSource(alias="S3", container="sets"),
)


def sync(
    state="RUNNING", *, kind="push", identity=SYNC, message="", code="", queued="2026-11-22T20:00:00.100Z", **counts
):
    """A transfer of one volume."""
    over = state in {"DONE", "FAILED", "INTERRUPTED"}
    info = wire.Info(code=code or f"DATASYNC_{state}", message=message or state.lower())
    row = wire.DataSyncProgress(
        id=f"{identity}.0",
        data_sync_id=identity,
        direction="pull" if kind in {"pull", "restore"} else "push",
        state=state,
        info="workspace" if kind in {"snapshot", "restore"} else "sets@S3",
        reason=info,
        notebook_volume=wire.UNSET if kind in {"snapshot", "restore"} else SETS,
        **counts,
    )
    return wire.DataSync(
        id=identity,
        created_at=queued,
        updated_at=queued,
        spec=wire.DataSyncSpec(direction=row.direction, kind=kind, manual=True),
        status=wire.DataSyncStatus(
            queued_at=queued,
            state=state,
            started_at=queued if state != "QUEUED" else wire.UNSET,
            ended_at="2026-11-22T20:00:02.500Z" if over else wire.UNSET,
            info=info,
            progress=[row],
        ),
    )


def remarking(said):
    """A transfer that was done, whose mover has that to say."""
    done = sync("DONE", **ALL)
    (row,) = done.status.progress
    row = msgspec.structs.replace(row, reason=wire.Info(code="DATASYNC_DONE", message=said))
    return msgspec.structs.replace(done, status=msgspec.structs.replace(done.status, progress=[row]))


def with_syncs(*syncs, volumes=(), **more):
    """A notebook with transfers, the newest first."""
    found = msgspec.json.decode(notebook(**more), type=wire.Notebook)
    status = msgspec.structs.replace(found.status, data_sync=list(syncs), volumes=list(volumes))
    return wire.encode(msgspec.structs.replace(found, status=status))


HALF = {"total": 10, "processed": 3, "total_bytes": 40 * MIB, "transferred_bytes": 12 * MIB}
ALL = {"total": 10, "processed": 10, "total_bytes": 40 * MIB, "transferred_bytes": 40 * MIB, "skipped": 1}


@pytest.fixture(autouse=True)
def world(toy):
    toy.on("GET /v1/notebook", page(notebook()))
    toy.on(GET, with_syncs(sync("DONE", **ALL)))
    toy.on(f"POST /v1/notebook/{A}/datasync", wire.encode(sync("QUEUED")))
    toy.on(f"{GET}/access", access())
    for verb in ("start", "stop"):
        toy.on(f"PUT /v1/notebook/{A}/{verb}", status=204)


class TestTransfers:
    """push-data and pull-data ask, and stay until it is over."""

    def test_a_conflict_is_told_at_once_and_afterwards(self, notebookctl, toy):
        said = "1 files were changed at the remote, too; ours was laid beside: a -> a.conflict-1"
        toy.on(GET, with_syncs(remarking(said)))
        assert said in notebookctl("push-data", "calm").stderr
        assert said in notebookctl("get", "calm").stdout

    @pytest.mark.parametrize(
        ("args", "body"),
        [
            (["push-data", "calm"], {"direction": "push"}),
            (["pull-data", A], {"direction": "pull"}),
            (["pull-data", "calm", "/data"], {"direction": "pull", "volume": "/data"}),
        ],
    )
    def test_what_is_asked(self, notebookctl, toy, args, body):
        assert notebookctl(*args).exit_code == 0
        (asked,) = toy.sent(f"POST /v1/notebook/{A}/datasync")
        assert asked.json == body

    def test_its_progress_is_told_in_lines(self, notebookctl, toy, golden):
        toy.on(GET, with_syncs(sync("QUEUED"), sync("DONE", identity=OLD)))
        for processed in range(1, 160):
            counts = {**HALF, "total": 400, "processed": processed, "transferred_bytes": processed * MIB // 10}
            toy.then(GET, with_syncs(sync(**counts), sync("DONE", identity=OLD)))
        toy.then(GET, with_syncs(sync("DONE", **ALL), sync("DONE", identity=OLD)))
        result = notebookctl("push-data", "calm")
        assert (result.exit_code, result.stdout) == (0, "")
        golden("push-data.stderr", result.stderr)

    def test_without_waiting_it_is_asked_for_and_no_more(self, notebookctl, toy):
        result = notebookctl("push-data", "calm", "--no-wait")
        assert (result.exit_code, result.stdout) == (0, "")
        assert "data out" in result.stderr
        assert toy.sent(GET) == []

    def test_programs_get_the_transfer_as_it_ended(self, notebookctl):
        result = notebookctl("push-data", "calm", "-o", "json")
        assert json.loads(result.stdout)["status"]["state"] == "DONE"

    def test_a_table_for_spreadsheets(self, notebookctl, golden):
        golden("push-data.csv", notebookctl("push-data", "calm", "-o", "csv").stdout)

    @pytest.mark.parametrize("state", ["FAILED", "INTERRUPTED"])
    def test_one_that_fails_is_exit_4_with_the_reason(self, notebookctl, toy, state):
        failed = sync(state, message="the bucket sets is not there", code="DATASYNC_SOURCE_NOT_FOUND")
        toy.on(GET, with_syncs(failed))
        result = notebookctl("push-data", "calm")
        assert (result.exit_code, result.stdout) == (4, "")
        assert "cannot push the data: the bucket sets is not there (DATASYNC_SOURCE_NOT_FOUND)" in result.stderr
        assert "hint: " in result.stderr

    def test_volumes_are_completed(self, notebookctl):
        env = {
            "_NOTEBOOKCTL_COMPLETE": "bash_complete",
            "COMP_WORDS": "notebookctl push-data calm /",
            "COMP_CWORD": "3",
        }
        assert "plain,/data" in notebookctl(env=env).stdout.splitlines()


class TestWaiting:
    """Waiting for a start and a stop tells what data does meanwhile."""

    STEPS = (("QUEUED", "2026-11-22T20:00:00.000Z"), ("INITIALIZING", "2026-11-22T20:00:00.100Z"))

    def test_a_start_tells_of_data_that_comes_in(self, notebookctl, toy, golden):
        toy.on(GET, with_syncs(sync(kind="pull", **HALF), state="STARTING", history=self.STEPS))
        done = [*self.STEPS, ("PENDING", "2026-11-22T20:00:02.500Z"), ("RUNNING", "2026-11-22T20:00:03.000Z")]
        toy.then(GET, with_syncs(sync("DONE", kind="pull", **ALL), history=done))
        result = notebookctl("start", "calm", "--wait")
        assert result.stdout.endswith("token=secret\n")
        golden("start-data.stderr", result.stderr)

    def test_a_stop_tells_of_data_that_goes_out_and_of_the_snapshot(self, notebookctl, toy, golden):
        pushed = sync("DONE", **ALL)
        toy.on(GET, with_syncs(sync(**HALF), state="STOPPING"))
        toy.then(GET, with_syncs(sync(kind="snapshot", identity=OLD, **HALF), pushed, state="STOPPING"))
        toy.then(GET, with_syncs(sync("DONE", kind="snapshot", identity=OLD, **ALL), pushed, state="STOPPED"))
        result = notebookctl("stop", "calm", "--wait")
        assert result.exit_code == 0
        golden("stop-data.stderr", result.stderr)

    def test_data_that_could_not_go_back_is_exit_4_and_says_how_to_go_on(self, notebookctl, toy):
        failed = sync("FAILED", message="the remote is full", code="DATASYNC_REMOTE_FULL")
        toy.on(GET, with_syncs(failed, state="SYNC_FAILED", info="the remote is full"))
        result = notebookctl("stop", "calm", "--wait")
        assert result.exit_code == 4
        assert "is SYNC_FAILED: the remote is full" in result.stderr
        assert f"notebookctl push-data {A}" in result.stderr
        assert f"notebookctl start {A} --discard" in result.stderr


class TestDiscard:
    """What is given up is gone: it is asked for."""

    @pytest.fixture(autouse=True)
    def stuck(self, toy):
        toy.on(GET, notebook(state="SYNC_FAILED"))

    def discarded(self, toy):
        return [each.query for each in toy.sent(f"PUT /v1/notebook/{A}/start")] == [{"discard": ["true"]}]

    @pytest.mark.parametrize(("keys", "done"), [("y\n", True), ("n\n", False), ("\n", False)])
    def test_on_a_terminal_it_asks(self, notebookctl, toy, keys, done):
        notebookctl.terminal = FakeTerminal(answers=True)
        result = notebookctl("start", "calm", "--discard", keys=keys)
        assert (result.exit_code == 0) is done
        assert self.discarded(toy) is done

    def test_without_a_terminal_it_takes_yes(self, notebookctl, toy):
        result = notebookctl("start", "calm", "--discard")
        assert result.exit_code == 2
        assert "--yes" in result.stderr
        assert not self.discarded(toy)
        assert notebookctl("start", "calm", "--discard", "--yes").exit_code == 0
        assert self.discarded(toy)


def test_a_notebook_is_shown_with_its_data(notebookctl, toy, golden):
    state = wire.VolumeStatus(
        id=OLD,
        mount_path="/data",
        last_pulled_created_at="2026-11-22T19:00:00.000Z",
        last_pushed_created_at="2026-11-22T19:55:00.000Z",
    )
    failed = sync("FAILED", message="the remote is full", code="DATASYNC_REMOTE_FULL", **HALF)
    toy.on(GET, with_syncs(failed, sync("DONE", kind="snapshot", identity=OLD, **ALL), volumes=[state]))
    golden("get-data.txt", notebookctl("get", "calm").stdout)


BACKUPS = wire.NotebookBackupList(
    items=[
        wire.NotebookBackup(
            id=identity,
            backup_date=at,
            created_at=at,
            updated_at=at,
            mount_path="/workspace",
            comment="x",
            size=3 * MIB,
            files=12,
        )
        for identity, at in ((OLD, "2026-11-22T19:00:00.000Z"), (C, "2026-11-20T19:00:00.000Z"))
    ],
    metadata=wire.Metadata(current_page=1, page_count=1, total=2, links=wire.Links()),
)


class TestSnapshots:
    """list, fork, check."""

    @pytest.fixture(autouse=True)
    def backups(self, toy):
        toy.on(f"{GET}/backup", wire.encode(BACKUPS))
        toy.on(f"POST /v1/notebook/{A}/backup/{OLD}/fork", notebook(B, "calm-fork", state="STARTING"))
        toy.on(f"POST /v1/notebook/{A}/backup/{C}/fork", notebook(B, "calm-fork", state="STARTING"))
        toy.on(f"GET /v1/notebook/{B}", notebook(B, "calm-fork"))
        toy.on(f"GET /v1/notebook/{B}/access", access(B))

    @pytest.mark.parametrize(("output", "file"), [("table", "snapshots.txt"), ("csv", "snapshots.csv")])
    def test_they_are_listed(self, notebookctl, golden, output, file):
        golden(file, notebookctl("snapshot", "list", "calm", "-o", output).stdout)

    @pytest.mark.parametrize(("words", "taken"), [([], OLD), ([C[:4]], C), ([OLD], OLD)])
    def test_one_is_forked(self, notebookctl, toy, words, taken):
        result = notebookctl("snapshot", "fork", "calm", *words, "--wait")
        assert result.stdout == f"http://{B}.localhost:8421/?token=secret\n"
        assert len(toy.sent(f"POST /v1/notebook/{A}/backup/{taken}/fork")) == 1

    def test_one_that_is_not_there_or_means_two_is_not_forked(self, notebookctl, toy):
        assert notebookctl("snapshot", "fork", "calm", "ffff").exit_code == 1
        assert notebookctl("snapshot", "fork", "calm", "0").exit_code == 2
        empty = msgspec.structs.replace(BACKUPS, items=[])
        toy.on(f"{GET}/backup", wire.encode(empty))
        assert "has no snapshot" in notebookctl("snapshot", "fork", "calm").stderr

    def test_they_are_checked(self, notebookctl, toy):
        toy.on(f"POST /v1/notebook/{A}/backup/check", wire.encode(wire.BackupCheck(said="no errors were found")))
        assert notebookctl("snapshot", "check", "calm").stdout == "no errors were found\n"


class TestDatastores:
    """list and objects."""

    STORES = wire.DatastoreList(
        items=[
            wire.Datastore(alias="DATA", type="directory", permission="RO"),
            wire.Datastore(alias="S3", type="rclone", permission="RWD"),
        ]
    )
    OBJECTS = wire.ObjectList(
        items=[
            wire.StoredObject(path="sets/a", size=0, folder=True),
            wire.StoredObject(path="sets/b.csv", size=1536, modified_at="2026-11-22T19:00:00.000Z"),
        ]
    )

    @pytest.mark.parametrize("words", [[], ["list"]])
    def test_they_are_listed(self, notebookctl, toy, golden, words):
        toy.on("GET /v1/datastore", wire.encode(self.STORES))
        golden("datastores.txt", notebookctl("datastore", *words).stdout)

    @pytest.mark.parametrize(("output", "file"), [("table", "objects.txt"), ("csv", "objects.csv")])
    def test_objects_are_listed(self, notebookctl, toy, golden, output, file):
        toy.on("GET /v1/datastore/S3/object", wire.encode(self.OBJECTS))
        golden(file, notebookctl("datastore", "objects", "S3", "sets", "-o", output).stdout)
        assert toy.asked[-1].query == {"prefix": ["sets"]}

    @pytest.mark.parametrize("words", [["objects"], ["list", "S3"], ["remove", "S3"]])
    def test_bad_words_are_usage_errors(self, notebookctl, toy, words):
        assert notebookctl("datastore", *words).exit_code == 2
        assert toy.asked == []
