-- Accounting. Nothing here is ever removed with a notebook: a bill outlives what it is for. Clocks as in 0001; the boot
-- clock in milliseconds as well.

-- Whom a run is billed to and for what, as it was when the run was made.
CREATE TABLE bill (
    run_id      TEXT PRIMARY KEY REFERENCES run (id),
    notebook_id TEXT NOT NULL,
    number      INTEGER NOT NULL,
    name        TEXT NOT NULL,
    owner       TEXT NOT NULL,
    flavor      TEXT NOT NULL,
    units       INTEGER NOT NULL CHECK (units >= 0),
    gpu         INTEGER NOT NULL CHECK (gpu IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE INDEX bill_by_notebook ON bill (notebook_id, number);

INSERT INTO bill (run_id, notebook_id, number, name, owner, flavor, units, gpu)
SELECT r.id, n.id, r.number, n.name, n.owner, json_extract(r.body, '$.resources.flavor'),
    json_extract(r.body, '$.resources.units'), json_extract(r.body, '$.resources.gpu')
FROM run r JOIN notebook n ON n.id = r.notebook_id;

-- A stay of a run in a billed state; position is the place of that entry in the run's history. Open while it has no end.
CREATE TABLE interval (
    run_id     TEXT NOT NULL REFERENCES run (id),
    position   INTEGER NOT NULL CHECK (position >= 0),
    owner      TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN (
        'INITIALIZING', 'PENDING', 'RUNNING', 'RESTARTING', 'INTERRUPTING', 'FINALIZING')),
    gpus       TEXT NOT NULL CHECK (json_valid(gpus)),
    boot_id    TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    started_boot INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    seen_boot  INTEGER NOT NULL,
    length     INTEGER CHECK (length >= 0),
    ended_at   INTEGER GENERATED ALWAYS AS (started_at + length) STORED,
    rate       INTEGER CHECK (rate >= 0),
    currency   TEXT NOT NULL,
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
CREATE INDEX lease_by_end ON lease (released_at, granted_at);
