-- Accounting. Nothing here is ever removed with a notebook: a bill outlives what it is for. Clocks as in 0001; the boot
-- clock in milliseconds as well.

-- A stay of a run in a billed state; position is the place of that entry in the run's history. Open while it has no
-- length. Whom it is billed to and for what stands in it, so that a month's report reads one table in order; gpus are
-- UUIDs with spaces between them.
CREATE TABLE interval (
    notebook_id  TEXT NOT NULL,
    name         TEXT NOT NULL,
    owner        TEXT NOT NULL,
    flavor       TEXT NOT NULL,
    run_id       TEXT NOT NULL REFERENCES run (id),
    units        INTEGER NOT NULL CHECK (units >= 0),
    gpu          INTEGER NOT NULL CHECK (gpu IN (0, 1)),
    gpus         TEXT NOT NULL,
    started_at   INTEGER NOT NULL,
    length       INTEGER CHECK (length >= 0),
    rate         INTEGER CHECK (rate >= 0),
    currency     TEXT NOT NULL,
    position     INTEGER NOT NULL CHECK (position >= 0),
    state        TEXT NOT NULL CHECK (state IN (
        'INITIALIZING', 'PENDING', 'RUNNING', 'RESTARTING', 'INTERRUPTING', 'FINALIZING')),
    boot_id      TEXT NOT NULL,
    started_boot INTEGER NOT NULL,
    seen_at      INTEGER NOT NULL,
    seen_boot    INTEGER NOT NULL,
    ended_at     INTEGER GENERATED ALWAYS AS (started_at + length) STORED,
    PRIMARY KEY (run_id, position)
) STRICT;

CREATE UNIQUE INDEX interval_open ON interval (run_id) WHERE length IS NULL;
CREATE INDEX interval_by_end ON interval (ended_at, started_at) WHERE length IS NOT NULL;
CREATE INDEX interval_by_owner ON interval (owner, ended_at, started_at) WHERE length IS NOT NULL;

-- What a run made of a GPU in an hour of the wall clock; energy in millijoules, utilisation in thousandths.
CREATE TABLE gpu_use (
    run_id           TEXT NOT NULL REFERENCES run (id),
    gpu_uuid         TEXT NOT NULL,
    hour_at          INTEGER NOT NULL,
    sampled          INTEGER NOT NULL,
    busy             INTEGER NOT NULL,
    peak_utilisation INTEGER NOT NULL,
    peak_memory      INTEGER NOT NULL,
    energy           INTEGER NOT NULL,
    PRIMARY KEY (run_id, gpu_uuid, hour_at)
) STRICT, WITHOUT ROWID;

CREATE INDEX gpu_use_by_hour ON gpu_use (hour_at);
CREATE INDEX lease_by_end ON lease (released_at, granted_at, run_id, gpu_uuid);
