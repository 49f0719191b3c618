-- Data in, data out. Clocks as in 0001.

-- A transfer of volumes, or a snapshot or its restoration; open until each of its movers has ended.
CREATE TABLE data_sync (
    id          TEXT PRIMARY KEY,
    notebook_id TEXT NOT NULL REFERENCES notebook (id),
    run_id      TEXT NOT NULL REFERENCES run (id),
    kind        TEXT NOT NULL CHECK (kind IN ('pull', 'push', 'snapshot', 'restore')),
    open        INTEGER NOT NULL CHECK (open IN (0, 1)),
    queued_at   INTEGER NOT NULL,
    body        TEXT NOT NULL CHECK (json_valid(body))
) STRICT;

CREATE INDEX data_sync_by_notebook ON data_sync (notebook_id, queued_at);
CREATE INDEX data_sync_open ON data_sync (notebook_id) WHERE open = 1;

-- A snapshot of a workspace; its id in the notebook's repository is in its record.
CREATE TABLE snapshot (
    id          TEXT PRIMARY KEY,
    notebook_id TEXT NOT NULL REFERENCES notebook (id),
    taken_at    INTEGER NOT NULL,
    body        TEXT NOT NULL CHECK (json_valid(body))
) STRICT;

CREATE INDEX snapshot_by_notebook ON snapshot (notebook_id, taken_at);

-- What a workspace took on the disk when it was measured last.
CREATE TABLE workspace_use (
    notebook_id TEXT PRIMARY KEY REFERENCES notebook (id),
    used        INTEGER NOT NULL CHECK (used >= 0),
    measured_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
