-- The record of a thing is its JSON body; the columns beside it are what it is found, ordered and constrained by.
-- Times are milliseconds since 1970 UTC.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE notebook (
    id          TEXT PRIMARY KEY,
    owner       TEXT NOT NULL,
    name        TEXT NOT NULL,
    wanted      TEXT NOT NULL CHECK (wanted IN ('running', 'stopped')),
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    deleting_at INTEGER,
    deleted_at  INTEGER,
    run_number  INTEGER NOT NULL DEFAULT 0,
    version     INTEGER NOT NULL,
    body        TEXT NOT NULL CHECK (json_valid(body))
) STRICT;

CREATE INDEX notebook_by_owner ON notebook (owner, created_at) WHERE deleted_at IS NULL;
CREATE INDEX notebook_by_creation ON notebook (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX notebook_deleting ON notebook (id) WHERE deleting_at IS NOT NULL AND deleted_at IS NULL;

CREATE TABLE run (
    id          TEXT PRIMARY KEY,
    notebook_id TEXT NOT NULL REFERENCES notebook (id),
    number      INTEGER NOT NULL CHECK (number > 0),
    state       TEXT NOT NULL CHECK (state IN (
        'QUEUED', 'INITIALIZING', 'PENDING', 'RUNNING', 'RESTARTING', 'INTERRUPTING', 'FINALIZING',
        'DONE', 'INTERRUPTED', 'TIMEOUT', 'FAILED', 'ERROR', 'SYNC_FAILED')),
    queued_at   INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    body        TEXT NOT NULL CHECK (json_valid(body)),
    UNIQUE (notebook_id, number)
) STRICT;

CREATE INDEX run_active ON run (queued_at, id)
    WHERE state IN ('QUEUED', 'INITIALIZING', 'PENDING', 'RUNNING', 'RESTARTING', 'INTERRUPTING', 'FINALIZING');

CREATE TABLE lease (
    gpu_uuid    TEXT NOT NULL,
    run_id      TEXT NOT NULL REFERENCES run (id),
    granted_at  INTEGER NOT NULL,
    released_at INTEGER,
    PRIMARY KEY (run_id, gpu_uuid)
) STRICT;

CREATE UNIQUE INDEX lease_active ON lease (gpu_uuid) WHERE released_at IS NULL;

CREATE TABLE drained_gpu (
    gpu_uuid   TEXT PRIMARY KEY,
    drained_at INTEGER NOT NULL
) STRICT;

CREATE TABLE event (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    at          INTEGER NOT NULL,
    notebook_id TEXT,
    owner       TEXT,
    body        TEXT NOT NULL CHECK (json_valid(body))
) STRICT;

CREATE INDEX event_by_notebook ON event (notebook_id, id);
CREATE INDEX event_by_owner ON event (owner, id);

CREATE TABLE answer (
    actor       TEXT NOT NULL,
    key         TEXT NOT NULL,
    digest      TEXT NOT NULL,
    notebook_id TEXT NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (actor, key)
) STRICT;
